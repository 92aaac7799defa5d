import { basicImages } from '../../test-e2e/cluster/basic-images.ts'
import type { Cluster } from '../../test-e2e/cluster/cluster.ts'
import { chaosplaneImage } from '../../test-e2e/cluster/image.ts'
import { kindIsHere, startKindCluster } from '../../test-e2e/cluster/kind.ts'
import { startLocalCluster } from '../../test-e2e/cluster/local/cluster.ts'
import { prepareMachine } from '../../test-e2e/setup/machine.ts'
import { type Access, accessTo } from './access.ts'
import type { StartOptions } from './arguments.ts'
import { endChildren } from './children.ts'
import { type Made, orAborted } from './cleanup.ts'
import { lookBefore, refusalOf } from './install.ts'
import { removeLeftovers } from './remove.ts'
import type { World } from './world.ts'

/** A cluster to work on, with the name of an image that it has or can pull. */
export type Site = { access: Access; image: string; isThrowAway: boolean }

/** The cluster that the options ask for. */
export function openSite(options: StartOptions, world: World): Promise<Site> {
  const { context, image, provider } = options
  return context !== null && image !== null
    ? contextSite(context, image, world)
    : throwAwaySite(provider, world)
}

async function contextSite(context: string, image: string, world: World): Promise<Site> {
  const { progress, env } = world
  const access = accessTo({ context }, env)
  world.atEnd(() => access.client.close())
  const hands = { client: access.client, clock: world.clock, signal: world.stop }
  const before = await progress.step(`looking at the cluster of context ${context}`, () =>
    lookBefore(hands),
  )
  const refusal = refusalOf(before)
  if (refusal) throw new Error(refusal)
  if (before.ours.length > 0)
    await progress.step('removing what an interrupted start left', () =>
      removeLeftovers(access, hands),
    )
  return { access, image, isThrowAway: false }
}

async function throwAwaySite(provider: StartOptions['provider'], world: World): Promise<Site> {
  const { progress, stop, cleanup, env } = world
  const chosen = provider ?? ((await orAborted(kindIsHere(), stop)) ? 'kind' : 'local')
  if (chosen === 'kind' && !(await orAborted(kindIsHere(), stop)))
    throw new Error('--provider kind needs docker, running, and kind (https://kind.sigs.k8s.io)')
  if (chosen === 'local')
    await progress.step('machine', (say) =>
      settled(prepareMachine('cluster', say), 'packages and binaries', world),
    )
  const making = progress.step('cluster, two nodes', (say) => makeCluster(chosen, say))
  cleanup.add(madeCluster(making, chosen, world.pid))
  const building = progress.step('image', async (say) => {
    const built = await chaosplaneImage(say)
    say(built.built ? built.name : `${built.name} (nothing has changed since the last build)`)
    return built
  })
  const [cluster, image] = await settled(Promise.all([making, building]), 'image build', world)
  await progress.step('image into the nodes', () =>
    settled(cluster.importImage(image.archive, image.name), 'image import', world),
  )
  const access = accessTo({ file: cluster.kubeconfig }, env)
  world.atEnd(() => access.client.close())
  return { access, image: image.name, isThrowAway: true }
}

async function makeCluster(
  provider: 'kind' | 'local',
  say: (note: string) => void,
): Promise<Cluster> {
  say(provider === 'kind' ? 'by kind, in docker' : 'out of processes on this machine')
  const cluster =
    provider === 'kind'
      ? await startKindCluster({ nodes: 2 })
      : await startLocalCluster({ nodes: 2, images: await basicImages() })
  say(cluster.nodes.join(', '))
  return cluster
}

const byHand = {
  kind: 'kind get clusters; kind delete cluster --name NAME',
  local: 'run npm start or npm test again: each ends first the clusters whose owner is gone',
}

function madeCluster(making: Promise<Cluster>, provider: 'kind' | 'local', pid: number): Made {
  let isOpen = true
  void making.then(
    () => {
      isOpen = false
    },
    () => {
      isOpen = false
    },
  )
  return {
    what: 'the throw-away cluster',
    byHand: byHand[provider],
    holdsRest: true,
    async remove() {
      // What makes a cluster does not hear a signal, but it cleans up after itself when its programs end.
      if (isOpen) endChildren(pid)
      const cluster = await making.catch(() => null)
      await cluster?.down()
    },
  }
}

/** Work that hears no signal: when it is interrupted, its programs are ended and it is waited for before all else. */
async function settled<T>(work: Promise<T>, what: string, world: World): Promise<T> {
  try {
    return await orAborted(work, world.stop)
  } catch (error) {
    if (world.stop.aborted)
      world.cleanup.add({
        what,
        byHand: 'nothing: it ends by itself',
        async remove() {
          endChildren(world.pid)
          await work.catch(() => {})
        },
      })
    throw error
  }
}
