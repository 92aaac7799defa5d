import { halt } from '../../lib/crash.ts'
import { isConflict, isNotFound } from '../../lib/kube/errors.ts'
import type { EventRecorder } from '../../lib/kube/events.ts'
import { apiVersionOf } from '../../lib/kube/paths.ts'
import type { Cache } from '../../lib/kube/store.ts'
import type { Pass } from '../../lib/kube/workers.ts'
import type { Log } from '../../lib/log.ts'
import {
  abandonAnnotation,
  abandonReason,
  giveUpRun,
  isAnyOpen,
  noReasonText,
  nothingOwedText,
} from '../../model/abandon.ts'
import type { Plan } from '../../model/plan.ts'
import { readRun } from '../../model/read-run.ts'
import { claimAnnotation, runFinalizer } from '../../model/runner-life.ts'
import type { RunState } from '../../model/state.ts'
import { patienceMs } from '../experiment/conditions.ts'
import type { Experiment, RunnerLife } from '../experiment/observe.ts'
import { toldSoon } from '../tell.ts'
import { clusterOf } from './cluster.ts'
import { claimForEnd, isClaimedForEnd, type LetGoParts, letGo, pathOf, release } from './let-go.ts'

/** What giving up and letting go without a runner need. */
export type AbandonParts = LetGoParts & {
  dialect: Plan['dialect']
  experiments: Cache<Experiment>
  lifeOf(holder: string): RunnerLife
  recorder: EventRecorder
  log: Log
  now(): number
}

/** What the annotation and a deletion mean while no runner carries the run; with one, they are the runner's business. */
export type AbandonStep =
  | { do: 'nothing' }
  | { do: 'look-again'; inMs: number }
  /** no reason was given */
  | { do: 'refuse' }
  /** there is nothing to give up */
  | { do: 'ignore' }
  | { do: 'give-up'; reason: string; run: RunState }
  /** it is recorded; the finalizer is still there */
  | { do: 'let-go' }
  /** in deletion, and nothing is owed */
  | { do: 'release' }

/** A runner that is only slow is not overtaken. One that an operator has fenced off is not waited for again. */
export function abandonStep(object: Experiment, runner: RunnerLife): AbandonStep {
  const { metadata, status } = object
  const reason = abandonReason(metadata.annotations)
  if (!isToBeLeft(object)) return { do: 'nothing' }
  const run = status?.run
  const isRecorded = run?.abandoned !== undefined && run.finishedAt !== undefined
  if (reason !== null && isClaimedForEnd(object) && isRecorded) return { do: 'let-go' }
  const inMs = patienceLeft(object, runner)
  if (inMs > 0) return { do: 'look-again', inMs }
  const isFree = owesNothing(object, runner)
  if (isFree && metadata.deletionTimestamp) return { do: 'release' }
  if (reason === null) return { do: 'nothing' }
  if (reason === '') return { do: 'refuse' }
  if (isFree) return { do: 'ignore' }
  const read = readRun(run)
  // without a readable state nobody can tell what is owed
  return run && read.is === 'state' ? { do: 'give-up', reason, run } : { do: 'nothing' }
}

/** Held by a run, and somebody wants it to go or to be given up. */
export const isToBeLeft = ({ metadata }: Experiment): boolean =>
  (metadata.deletionTimestamp !== undefined || abandonReason(metadata.annotations) !== null) &&
  (metadata.finalizers?.includes(runFinalizer) ?? false)

function patienceLeft(object: Experiment, runner: RunnerLife): number {
  // claimed by an operator that has died since: it had waited
  if (isClaimedForEnd(object)) return 0
  return runner.alive ? patienceMs : Math.max(0, patienceMs - runner.goneForMs)
}

/** Nobody carries its run, and nothing of it can be left: it may be let go. */
export function owesNothing(object: Experiment, runner: RunnerLife): boolean {
  const read = readRun(object.status?.run)
  if (patienceLeft(object, runner) > 0 || read.is === 'unreadable') return false
  return read.is === 'absent' || !isAnyOpen(read.state)
}

/** The way out when nobody can carry a run to its end: all that may be left is recorded, and the resource is let go. */
export function createAbandonPass(
  parts: AbandonParts,
): (key: string, signal: AbortSignal) => Promise<Pass> {
  return async (key, signal) => {
    const object = parts.experiments.get(key)
    if (!object) return { next: 'idle' }
    const holder = object.metadata.annotations?.[claimAnnotation] ?? ''
    const step = abandonStep(object, parts.lifeOf(holder))
    if (step.do === 'look-again')
      return { next: 'again', inMs: step.inMs, reason: 'its runner may take it up' }
    try {
      await take(parts, { object, step, signal })
    } catch (error) {
      // somebody else wrote first, a runner perhaps: looked at anew
      if (!isConflict(error) && !isNotFound(error)) throw error
      return { next: 'again', inMs: 500, reason: 'it has changed meanwhile' }
    }
    return { next: 'idle' }
  }
}

type Taken = { object: Experiment; step: AbandonStep; signal: AbortSignal }

async function take(parts: AbandonParts, { object, step, signal }: Taken): Promise<void> {
  if (step.do === 'refuse')
    await turnDown(parts, { object, signal, told: ['AbandonRefused', noReasonText] })
  if (step.do === 'ignore')
    await turnDown(parts, { object, signal, told: ['AbandonIgnored', nothingOwedText] })
  if (step.do === 'give-up') await giveUp(parts, { object, ...step, signal })
  if (step.do === 'let-go') await letGo(parts, object, signal)
  if (step.do !== 'release') return
  await release(parts, object, signal)
  const { name, namespace } = object.metadata
  parts.log.info({ experiment: name, namespace }, 'let go of a deleted experiment without a runner')
}

type TurnedDown = { object: Experiment; told: [reason: string, note: string]; signal: AbortSignal }

/** Says why nothing was given up, and takes the annotation off. */
async function turnDown(
  parts: AbandonParts,
  { object, told: [reason, note], signal }: TurnedDown,
): Promise<void> {
  const { name, resourceVersion } = object.metadata
  CRASH: await halt('operator/turning-down', name)
  parts.recorder.record({ regarding: object, type: 'Warning', reason, note })
  // without the annotation nobody would tell it again
  await toldSoon(parts.recorder, object, signal)
  const metadata = { resourceVersion, annotations: { [abandonAnnotation]: null } }
  await parts.client.mergePatch(pathOf(parts, object), { metadata }, { signal })
  CRASH: await halt('operator/turned-down', name)
}

type GiveUp = { object: Experiment; reason: string; run: RunState; signal: AbortSignal }

/** Claims the run, so that a runner that comes back is fenced off; then the record, then the finalizer. */
async function giveUp(parts: AbandonParts, { object, reason, run, signal }: GiveUp): Promise<void> {
  const { client, kind, dialect, log } = parts
  const { name, namespace = '' } = object.metadata
  CRASH: await halt('operator/giving-up', name)
  const cluster = await clusterOf(client, signal)
  const claimed = await claimForEnd(parts, object, signal)
  const status = { run: giveUpRun(run, { reason, at: parts.now() }, cluster) }
  const body = {
    apiVersion: apiVersionOf(kind),
    kind: dialect,
    metadata: { name, namespace, resourceVersion: claimed.metadata.resourceVersion },
    status,
  }
  // status.run belongs to the runner, and there is none
  const by = { signal, fieldManager: 'chaosplane-runner', force: true }
  const written = await client.apply<Experiment>(pathOf(parts, object, 'status'), body, by)
  CRASH: await halt('operator/recorded', name)
  log.warn({ experiment: name, namespace, reason }, 'a run without a runner was given up')
  await letGo(parts, written, signal)
}
