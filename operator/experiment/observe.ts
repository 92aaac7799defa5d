import type { KubeObject } from '../../lib/kube/types.ts'
import type {
  ChaosExperimentPhase,
  KubernetesChaosExperimentPhase,
  ExperimentStatus as OneStatus,
} from '../../model/documents/status.ts'
import { whyUnreadable } from '../../model/read-run.ts'
import { claimAnnotation, runFinalizer } from '../../model/runner-life.ts'
import type { RunState } from '../../model/state.ts'

/** The status of either kind. */
export type ExperimentStatus = Omit<OneStatus, 'phase'> & {
  phase?: KubernetesChaosExperimentPhase | ChaosExperimentPhase
}

/** An experiment of either kind as the cache holds it. */
export type Experiment = KubeObject & {
  spec?: { experimentRunId?: string | null; cleanupPolicy?: string | null }
  status?: ExperimentStatus
}

/** What the verdict function makes of a run; everything else in status is decided here. */
export type Judged = Omit<ExperimentStatus, 'conditions' | 'run' | 'observedGeneration'>

/** What this leader remembers of one experiment between two passes. */
export type Memory = {
  /** our own fields as we wrote them last, and the version that this made: the cache may lag behind */
  written?: { status: ExperimentStatus; version: string }
  writtenAt?: number
  /** since when there is something to write that has not been written */
  dirtySince?: number
  /** since when nobody has claimed the run */
  unclaimedSince?: number
  /** keys of Events told about the run `toldOf` */
  told: Set<string>
  toldOf: string
}

/** Whether the runner that holds a run still renews its Lease, and for how long it has not. */
export type RunnerLife = { alive: boolean; goneForMs: number }

/** All that one decision needs. */
export type Seen = {
  object: Experiment
  /** null also when it cannot be read */
  run: RunState | null
  /** why `status.run` cannot be read; null: it can, or there is none */
  unreadable: string | null
  /** whether the document asks for something else than the run under way does; null: the run does not say what it does */
  differs: boolean | null
  judged: Judged
  /** our own fields as they stand */
  before: ExperimentStatus
  /** the runner of an unfinished run; null where none is needed */
  runner: RunnerLife | null
  /** how long nobody has claimed the run; null: claimed, or nothing to claim */
  unclaimedForMs: number | null
  now: number
}

/** What observing reads besides the object. */
export type Sight = {
  judge: (object: Experiment, run: RunState | null) => Judged
  markOf: (object: Experiment) => string
  lifeOf: (holder: string) => RunnerLife
  now: number
}

/** True when nothing is left to be done or said: the run is over, let go, and the status tells it. */
export function isSettled({ metadata, spec, status }: Experiment): boolean {
  const run = status?.run
  if (run?.finishedAt === undefined || status?.endTime === undefined) return false
  if (metadata.finalizers?.includes(runFinalizer)) return false
  return status.experimentRunId === run.runId && !hasNewRunId(spec?.experimentRunId, run)
}

const hasNewRunId = (wanted: string | null | undefined, run: RunState): boolean =>
  !!wanted && wanted !== run.runId && !run.previousRunIds.includes(wanted)

/** True for a resource whose run nobody has begun yet. */
function isUnclaimed({ metadata, spec, status }: Experiment): boolean {
  if (metadata.deletionTimestamp || metadata.finalizers?.includes(runFinalizer)) return false
  const run = status?.run
  return (
    run === undefined || (run.finishedAt !== undefined && hasNewRunId(spec?.experimentRunId, run))
  )
}

/** Looks at one experiment. Notes in `memory` since when it is unclaimed. */
export function observe(object: Experiment, memory: Memory, sight: Sight): Seen {
  const unreadable = whyUnreadable(object.status?.run)
  const run = unreadable === null ? (object.status?.run ?? null) : null
  const before = ownFields(object, memory)
  if (unreadable === null && isUnclaimed(object)) memory.unclaimedSince ??= sight.now
  else delete memory.unclaimedSince
  const holder = object.metadata.annotations?.[claimAnnotation]
  const needsRunner = object.metadata.finalizers?.includes(runFinalizer) ?? false
  return {
    object,
    run,
    unreadable,
    differs: differs(object, run, sight),
    // what was said before stays said: nothing is known that is newer
    judged: unreadable === null ? sight.judge(object, run) : judgedBefore(before),
    before,
    runner: needsRunner ? sight.lifeOf(holder ?? '') : null,
    unclaimedForMs: memory.unclaimedSince === undefined ? null : sight.now - memory.unclaimedSince,
    now: sight.now,
  }
}

/** After the end an edit concerns nobody. */
function differs(
  object: Experiment,
  run: RunState | null,
  { markOf }: Pick<Sight, 'markOf'>,
): boolean | null {
  if (run?.document === undefined || run.finishedAt !== undefined) return null
  return markOf(object) !== run.document
}

function judgedBefore(before: ExperimentStatus): Judged {
  const { conditions: _, run: __, observedGeneration: ___, ...judged } = before
  return judged
}

/** Our fields as they stand: what we wrote ourselves while the cache is still behind it. */
function ownFields({ metadata, status }: Experiment, { written }: Memory): ExperimentStatus {
  const isBehind = written && Number(metadata.resourceVersion) < Number(written.version)
  return (isBehind ? written.status : status) ?? {}
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

/** Drops from the cache what no pass reads: ten thousand finished experiments must fit into memory. */
export function slim(object: Experiment): Experiment {
  const { managedFields: _, annotations, ...metadata } = object.metadata
  const { [lastApplied]: __, ...kept } = annotations ?? {}
  const light: Experiment = { ...object, metadata: { ...metadata, annotations: kept } }
  if (!isSettled(object) || !object.status?.run) return light
  const { experimentRunId, cleanupPolicy } = object.spec ?? {}
  const { phase, endTime, experimentRunId: toldRunId, run } = object.status
  return {
    ...light,
    spec: { experimentRunId: experimentRunId ?? null, cleanupPolicy: cleanupPolicy ?? null },
    status: {
      ...(phase ? { phase } : {}),
      ...(endTime ? { endTime } : {}),
      ...(toldRunId ? { experimentRunId: toldRunId } : {}),
      run: { ...run, tasks: [], notes: [] },
    },
  }
}
