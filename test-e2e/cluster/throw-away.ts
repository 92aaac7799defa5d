import { dirname } from 'node:path'
import { prepareMachine } from '../setup/machine.ts'
import { basicImages } from './basic-images.ts'
import { binary } from './binaries.ts'
import { type Cluster, type InstalledCluster, untouchable } from './cluster.ts'
import { kindIsHere, startKindCluster } from './kind.ts'
import { attachLocalCluster, startLocalCluster } from './local/cluster.ts'
import { type Say, succeeds } from './shell.ts'

/** A cluster that lives until `down()`: by kind where docker answers, else out of processes on this machine. */
export async function throwAwayCluster(options: {
  nodes: number
  /** docker archives that every node shall know from the start */
  images: string[]
  say: Say
}): Promise<Cluster> {
  const { nodes, images, say } = options
  if (await kindIsHere()) {
    say('making a cluster with kind')
    const cluster = await startKindCluster({ nodes })
    for (const archive of images) await cluster.importImage(archive, archive)
    return cluster
  }
  await prepareMachine('cluster', say)
  say(`making a cluster out of processes, ${nodes === 1 ? 'one node' : `${nodes} nodes`}`)
  return await startLocalCluster({ nodes, images: [...(await basicImages()), ...images] })
}

/** The kubectl (or helm) to use: our own where it has been built, else the user's. */
export async function clientTool(name: 'kubectl' | 'helm'): Promise<string> {
  const own = binary(name)
  return (await succeeds(own, name === 'helm' ? ['version'] : ['version', '--client'])) ? own : name
}

/** The verbs of an installed cluster, for a test that breaks its components. Only its maker takes it down. */
export function attachCluster(installed: InstalledCluster): Cluster {
  const { provider, kubeconfig, apiUrl, nodes, auditLog, logs } = installed
  if (provider === 'local') return attachLocalCluster(dirname(kubeconfig))
  const refuse = async () => {
    throw new Error(`the ${provider} cluster is not handed on to other processes`)
  }
  const files = { ...(auditLog && { auditLog }), ...(logs && { logs }) }
  const verbs = untouchable(`the ${provider} cluster is not handed on to other processes`)
  return {
    provider,
    kubeconfig,
    apiUrl,
    nodes,
    ...files,
    ...verbs,
    importImage: refuse,
    down: refuse,
  }
}
