import type { KubeObject } from '../../lib/kube/types.ts'
import { warmLabels } from '../../model/fault-pod-spec.ts'
import { isTerminal } from '../../model/pod-life.ts'
import { runFinalizer } from '../../model/runner-life.ts'
import type { Experiment } from '../experiment/observe.ts'

/** A fault or probe pod as the sweep needs it. */
export type SweptPod = KubeObject & { status?: { phase?: string } }

/** What is known about one pod of ours. */
export type Found = {
  pod: SweptPod
  /** the experiment that it was started for, as the API server has it; undefined: there is none (any more) */
  experiment: Experiment | undefined
  now: number
}

/** What becomes of it. */
export type Fate =
  | { do: 'keep' }
  | { do: 'look-again'; inMs: number }
  | { do: 'delete'; why: string }

/** Caches of two kinds are not equally fresh: a pod younger than this may belong to what is not seen yet. */
export const youngMs = 30_000
/** A run that is let go takes its own pods along; what is still there after this was forgotten. */
export const graceMs = 5_000

/** Whether a pod of ours has anybody left who needs it. */
export function fateOf({ pod, experiment, now }: Found): Fate {
  if (pod.metadata.deletionTimestamp) return { do: 'keep' }
  if (!experiment) return orphan(pod, now)
  const { finalizers = [] } = experiment.metadata
  const run = experiment.status?.run
  // while a runner holds the run, its pods are its own business
  if (finalizers.includes(runFinalizer) || run?.finishedAt === undefined) return { do: 'keep' }
  const overForMs = now - run.finishedAt
  if (overForMs < graceMs) return { do: 'look-again', inMs: graceMs - overForMs }
  if (experiment.spec?.cleanupPolicy !== 'retain')
    return { do: 'delete', why: 'its run is over and cleanupPolicy is delete' }
  if (isTerminal(pod)) return { do: 'keep' }
  return { do: 'delete', why: 'its run is over and it has not ended by itself' }
}

function orphan(pod: SweptPod, now: number): Fate {
  const { labels, creationTimestamp = '' } = pod.metadata
  const claimedAt = Number(labels?.[warmLabels.claimedAt] ?? 0)
  const ageMs = now - Math.max(claimedAt, Date.parse(creationTimestamp))
  if (ageMs < youngMs) return { do: 'look-again', inMs: youngMs - ageMs }
  return { do: 'delete', why: 'the experiment that it was started for no longer exists' }
}
