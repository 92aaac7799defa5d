import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { basicImages } from '../cluster/basic-images.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { chaosplaneImage } from '../cluster/image.ts'
import { startLocalCluster } from '../cluster/local/cluster.ts'
import { addMachine, type Machine } from '../cluster/vm/machine.ts'
import { bringUp, say, teardown as takeDown } from './installed-cluster.ts'

let machine: Machine | undefined

/** A cluster of one node for the product and of one in a virtual machine for its targets. */
export async function setup(project: TestProject): Promise<void> {
  const image = await chaosplaneImage(say)
  const images = [...(await basicImages()), image.archive]
  await bringUp(project, image.name, () => makeCluster(images))
}

async function makeCluster(images: string[]): Promise<Cluster> {
  say('making a cluster out of processes, and a virtual machine')
  const cluster = await startLocalCluster({ nodes: 1, images })
  try {
    machine = await addMachine(cluster, { images, say })
    return cluster
  } catch (e) {
    await cluster.down()
    throw e
  }
}

/** Takes both down; when a test failed, keeps their logs and says where. */
export async function teardown(): Promise<void> {
  await takeDown(async (folder) => {
    await machine
      ?.run('tar -C / -czf /tmp/logs.tar.gz var/log/node var/log/pods')
      .then(() => machine?.copyOut('/tmp/logs.tar.gz', join(folder, 'machine.tar.gz')))
      // A story may have failed because the machine is gone; its console is kept with the other logs.
      .catch((e: unknown) => console.error(`e2e: ${String(e)}`))
  })
}
