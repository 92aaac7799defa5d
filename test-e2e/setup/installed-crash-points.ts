import type { TestProject } from 'vitest/node'
import { chaosplaneImage } from '../cluster/image.ts'
import { throwAwayCluster } from '../cluster/throw-away.ts'
import { bringUp, say, teardown } from './installed-cluster.ts'

export { teardown }

/** A cluster of two nodes with an image that can be told where to die. */
export async function setup(project: TestProject): Promise<void> {
  const image = await chaosplaneImage(say, { crash: true })
  await bringUp(project, image.name, () =>
    throwAwayCluster({ nodes: 2, images: [image.archive], say }),
  )
}
