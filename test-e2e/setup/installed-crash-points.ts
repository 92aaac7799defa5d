import type { TestProject } from 'vitest/node'
import { chaosplaneImage } from '../cluster/image.ts'
import { run } from '../cluster/shell.ts'
import { clientTool, throwAwayCluster } from '../cluster/throw-away.ts'
import { drainedKey, ordinaryNodes } from '../kill/stage.ts'
import { bringUp, say, teardown } from './installed-cluster.ts'

export { teardown }

/** A cluster with an image that can be told where to die; two of its nodes are there to be drained. */
export async function setup(project: TestProject): Promise<void> {
  const image = await chaosplaneImage(say, { crash: true })
  await bringUp(project, image.name, async () => {
    const cluster = await throwAwayCluster({
      nodes: ordinaryNodes + 2,
      images: [image.archive],
      say,
    })
    const drained = cluster.nodes.slice(ordinaryNodes)
    await run(await clientTool('kubectl'), [
      `--kubeconfig=${cluster.kubeconfig}`,
      ...['taint', 'nodes', ...drained, `${drainedKey}=only:NoSchedule`],
    ])
    return cluster
  })
}
