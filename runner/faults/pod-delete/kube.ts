import type { KubeClient } from '../../../lib/kube/client.ts'
import { isConflict, isExpired, isNotFound } from '../../../lib/kube/errors.ts'
import { pods, resourcePath } from '../../../lib/kube/paths.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import type { InstantFault, KubeTarget } from '../kube-fault.ts'

type Params = { gracePeriodSeconds: number | null }

/** The longest default grace period that a pod may ask for and still be waited for, milliseconds. */
const longestGraceMs = 300_000
const marginMs = 30_000

/** Deletes pods through the API; the uid precondition spares a namesake that took the place. */
export const podDelete: InstantFault<Params> = {
  lasts: 'instant',
  id: 'pod-delete',
  async strike(target, { gracePeriodSeconds }, { kube, as, signal }) {
    try {
      const going = await kube.remove(pathOf(target), {
        as,
        signal,
        uid: target.uid,
        ...(gracePeriodSeconds === null ? {} : { gracePeriodSeconds }),
      })
      return {
        evidence: `DELETE accepted for uid ${target.uid}`,
        ...(going && isStillThere(going) ? { since: going.metadata.resourceVersion } : {}),
      }
    } catch (error) {
      // The answer to an earlier attempt may have been lost: the pod with this uid is gone, which is the effect.
      if (isNotFound(error) || isConflict(error))
        return { evidence: `pod with uid ${target.uid} is gone` }
      throw error
    }
  },
  async struck(target, { kube, signal }) {
    const seen = await kube.find<KubeObject>(pathOf(target), { signal })
    if (seen === undefined || seen.metadata.uid !== target.uid)
      return `pod with uid ${target.uid} is gone`
    return seen.metadata.deletionTimestamp ? `pod with uid ${target.uid} is being deleted` : null
  },
  async settled(target, _params, { kube, signal, since }) {
    for (let from = since; ; from = undefined) {
      const gone = await goneOf(kube, { target, since: from }, signal)
      if (gone) return gone
      signal.throwIfAborted()
    }
  },
  settleMs: ({ gracePeriodSeconds }) =>
    marginMs + (gracePeriodSeconds === null ? longestGraceMs : gracePeriodSeconds * 1000),
}

/** Without a grace period the version in the answer is the one of the removal: a watch from there would never see it. */
const isStillThere = ({ metadata }: KubeObject): boolean =>
  (metadata.deletionGracePeriodSeconds ?? 0) > 0

const pathOf = ({ namespace, name }: KubeTarget): string =>
  resourcePath({ ...pods, namespace, name })

/** Looks once, then follows the pod; null when the watch ended without an answer. */
async function goneOf(
  kube: KubeClient,
  { target, since }: { target: KubeTarget; since: string | undefined },
  signal: AbortSignal,
): Promise<string | null> {
  const seen = since ? null : await kube.find<KubeObject>(pathOf(target), { signal })
  if (seen === undefined) return `pod ${target.name} no longer exists`
  if (seen && seen.metadata.uid !== target.uid) return replaced(target, seen)
  const path = resourcePath({ ...pods, namespace: target.namespace })
  const watch = kube.watch(path, {
    signal,
    resourceVersion: seen?.metadata.resourceVersion ?? since ?? '',
    query: { fieldSelector: `metadata.name=${target.name}`, timeoutSeconds: '300' },
  })
  try {
    for await (const { type, object } of watch) {
      if (type === 'DELETED') return `pod ${target.name} no longer exists`
      if (type === 'ADDED' && object.metadata.uid !== target.uid) return replaced(target, object)
    }
  } catch (error) {
    if (!isExpired(error)) throw error
  }
  return null
}

const replaced = (target: KubeTarget, by: KubeObject): string =>
  `pod ${target.name} with uid ${target.uid} is gone; uid ${by.metadata.uid} took its name`
