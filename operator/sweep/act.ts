import { halt } from '../../lib/crash.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { pods, type ResourceKind, resourcePath } from '../../lib/kube/paths.ts'
import { removeExactly } from '../../lib/kube/remove.ts'
import type { Cache } from '../../lib/kube/store.ts'
import { parseKey } from '../../lib/kube/types.ts'
import type { Pass } from '../../lib/kube/workers.ts'
import type { Log } from '../../lib/log.ts'
import { faultPodLabels } from '../../model/fault-pod-spec.ts'
import type { Experiment } from '../experiment/observe.ts'
import { fateOf, type SweptPod } from './decide.ts'

/** Index of experiments by uid. */
export const byUid = 'uid'

/** What sweeping needs. */
export type SweepParts = {
  client: KubeClient
  pods: Cache<SweptPod>
  experiments: readonly { kind: ResourceKind; cache: Cache<Experiment> }[]
  log: Log
  now: () => number
}

/** A pass over one pod. */
export function createSweep(
  parts: SweepParts,
): (key: string, signal: AbortSignal) => Promise<Pass> {
  return async (key, signal) => {
    const pod = parts.pods.get(key)
    if (!pod) return { next: 'idle' }
    const cached = findCached(parts, pod)
    const fate = fateOf({ pod, experiment: cached?.experiment, now: parts.now() })
    if (fate.do === 'keep') return { next: 'idle' }
    if (fate.do === 'look-again')
      return { next: 'again', inMs: fate.inMs, reason: 'too early to tell' }
    CRASH: await halt('operator/sweep-chosen', pod.metadata.name)
    if (cached && !(await isStill(parts, cached, { pod, signal })))
      return { next: 'again', inMs: 1_000, reason: 'the cache was behind' }
    const path = resourcePath({ ...pods, namespace: '', ...parseKey(key) })
    CRASH: await halt('operator/sweeping', pod.metadata.name)
    await removeExactly(parts.client, path, { uid: pod.metadata.uid, signal })
    CRASH: await halt('operator/swept', pod.metadata.name)
    parts.log.info({ pod: key, why: fate.why }, 'swept a pod')
    return { next: 'idle' }
  }
}

type Cached = { kind: ResourceKind; experiment: Experiment }

function findCached({ experiments }: SweepParts, pod: SweptPod): Cached | undefined {
  const uid = pod.metadata.labels?.[faultPodLabels.uid]
  if (!uid) return undefined
  for (const { kind, cache } of experiments) {
    const [experiment] = cache.byIndex(byUid, uid)
    if (experiment) return { kind, experiment }
  }
  return undefined
}

/** Asks the API server itself: a cache that is behind must not cost a pod that is needed. */
async function isStill(
  parts: SweepParts,
  { kind, experiment }: Cached,
  { pod, signal }: { pod: SweptPod; signal: AbortSignal },
): Promise<boolean> {
  const { name, namespace = '', uid } = experiment.metadata
  const path = resourcePath({ ...kind, namespace, name })
  const found = await parts.client.find<Experiment>(path, { signal })
  const live = found?.metadata.uid === uid ? found : undefined
  return fateOf({ pod, experiment: live, now: parts.now() }).do === 'delete'
}
