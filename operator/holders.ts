import type { KubeClient } from '../lib/kube/client.ts'
import { pods, resourcePath } from '../lib/kube/paths.ts'
import { createReflector } from '../lib/kube/reflector.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import { type PodLife, runsNothing } from '../model/pod-life.ts'
import { podOf } from './runners.ts'

export type ReplicaPod = KubeObject & PodLife

/** One life of one replica, as it stands in the lease: `<pod>/<life>`. */
export const holderOf = (pod: string, life: string): string => `${pod}/${life}`

/** What is known of the pod of a holder; undefined: nothing (yet). */
export type Known = ReplicaPod | 'deleted' | undefined

/**
 * Whether the holder of the lease is known to be dead. A container restarts only when the one before has ended, so a
 * life of our own pod that is not ours is over. Of another pod: it was taken away, or its program does not run now.
 */
export function isDead(holder: string, me: string, pod: Known): boolean {
  if (holder === me) return false
  if (podOf(holder) === podOf(me)) return true
  if (pod === undefined) return false
  return pod === 'deleted' || runsNothing(pod)
}

export type Holders = {
  isDead(holder: string): boolean
  /** follows the replicas' pods until the signal; `onChange` is called when a look may have a new answer */
  run(onChange: () => void, signal: AbortSignal): Promise<void>
}

type Parts = { client: KubeClient; namespace: string; me: string }

/**
 * Knows which holder of the lease is dead, so that nobody waits for the lease to run out: the API shows the end of a
 * container within a second. A mistake costs a change of leader and nothing more: every write of the lease carries
 * the version that it was decided on.
 */
export function createHolders({ client, namespace, me }: Parts): Holders {
  const known = new Map<string, Known>()
  return {
    isDead: (holder) => isDead(holder, me, known.get(podOf(holder))),
    async run(onChange, signal) {
      const reflector = createReflector<ReplicaPod>({
        client,
        path: resourcePath({ ...pods, namespace }),
        query: { labelSelector: 'app.kubernetes.io/component=operator' },
      })
      reflector.store.onChange(({ type, object: { metadata, status } }) => {
        known.delete(metadata.name)
        known.set(
          metadata.name,
          type === 'deleted' ? 'deleted' : { metadata, ...(status ? { status } : {}) },
        )
        for (const name of [...known.keys()].slice(0, -maxNamed)) known.delete(name)
        onChange()
      })
      await reflector.run(signal)
    },
  }
}

/** Pods of replicas come and go over the months; that many are remembered. */
const maxNamed = 100
