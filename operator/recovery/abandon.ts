import type { KubeClient } from '../../lib/kube/client.ts'
import { isConflict, isNotFound } from '../../lib/kube/errors.ts'
import type { EventRecorder } from '../../lib/kube/events.ts'
import { apiVersionOf, type ResourceKind, resourcePath } from '../../lib/kube/paths.ts'
import type { Cache } from '../../lib/kube/store.ts'
import type { Pass } from '../../lib/kube/workers.ts'
import type { Log } from '../../lib/log.ts'
import {
  abandonAnnotation,
  abandonReason,
  giveUpRun,
  isAnyOpen,
  noReasonText,
} from '../../model/abandon.ts'
import type { Plan } from '../../model/plan.ts'
import { claimAnnotation, runFinalizer } from '../../model/runner-life.ts'
import type { RunState } from '../../model/state.ts'
import { patienceMs } from '../experiment/conditions.ts'
import type { Experiment, RunnerLife } from '../experiment/observe.ts'
import { clusterOf } from './cluster.ts'

/** What giving up without a runner needs. */
export type AbandonParts = {
  client: KubeClient
  kind: ResourceKind
  dialect: Plan['dialect']
  experiments: Cache<Experiment>
  lifeOf(holder: string): RunnerLife
  recorder: EventRecorder
  log: Log
  now(): number
  /** who claims the run for its end: pod of this operator */
  self: string
}

/** What the annotation means while no runner carries the run; with one, it is the runner's business. */
export type AbandonStep =
  | { do: 'nothing' }
  | { do: 'look-again'; inMs: number }
  /** no reason was given */
  | { do: 'refuse' }
  | { do: 'give-up'; reason: string; run: RunState }
  /** it is recorded; the finalizer is still there */
  | { do: 'let-go' }

/** In the place of a runner's life: nobody's Lease has it, so that a runner may still take over. */
const claimSuffix = '/abandon'

/** A runner that is only slow is not overtaken. */
export function abandonStep({ metadata, status }: Experiment, runner: RunnerLife): AbandonStep {
  const reason = abandonReason(metadata.annotations)
  const run = status?.run
  if (reason === null || !run || !metadata.finalizers?.includes(runFinalizer))
    return { do: 'nothing' }
  const isOurs = metadata.annotations?.[claimAnnotation]?.endsWith(claimSuffix)
  if (isOurs && run.abandoned && run.finishedAt !== undefined) return { do: 'let-go' }
  if (runner.alive) return { do: 'look-again', inMs: patienceMs }
  if (runner.goneForMs < patienceMs)
    return { do: 'look-again', inMs: patienceMs - runner.goneForMs }
  if (reason === '') return { do: 'refuse' }
  return isAnyOpen(run) ? { do: 'give-up', reason, run } : { do: 'nothing' }
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
      if (step.do === 'refuse') await refuse(parts, object, signal)
      if (step.do === 'give-up') await giveUp(parts, { object, ...step, signal })
      if (step.do === 'let-go') await letGo(parts, object, signal)
    } catch (error) {
      // somebody else wrote first, a runner perhaps: looked at anew
      if (!isConflict(error) && !isNotFound(error)) throw error
      return { next: 'again', inMs: 500, reason: 'it has changed meanwhile' }
    }
    return { next: 'idle' }
  }
}

const pathOf = ({ kind }: AbandonParts, { metadata }: Experiment, subresource?: string): string => {
  const { name, namespace = '' } = metadata
  return resourcePath({ ...kind, namespace, name, ...(subresource ? { subresource } : {}) })
}

async function refuse(parts: AbandonParts, object: Experiment, signal: AbortSignal): Promise<void> {
  parts.recorder.record({
    regarding: object,
    type: 'Warning',
    reason: 'AbandonRefused',
    note: noReasonText,
  })
  const { resourceVersion } = object.metadata
  const metadata = { resourceVersion, annotations: { [abandonAnnotation]: null } }
  await parts.client.mergePatch(pathOf(parts, object), { metadata }, { signal })
}

type GiveUp = { object: Experiment; reason: string; run: RunState; signal: AbortSignal }

/** Claims the run, so that a runner that comes back is fenced off; then the record, then the finalizer. */
async function giveUp(parts: AbandonParts, { object, reason, run, signal }: GiveUp): Promise<void> {
  const { client, kind, dialect, self, log } = parts
  const { name, namespace = '', resourceVersion } = object.metadata
  const cluster = await clusterOf(client, signal)
  const claim = { resourceVersion, annotations: { [claimAnnotation]: `${self}${claimSuffix}` } }
  const claimed = await client.mergePatch<Experiment>(
    pathOf(parts, object),
    { metadata: claim },
    { signal },
  )
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
  log.warn({ experiment: name, namespace, reason }, 'a run without a runner was given up')
  await letGo(parts, written, signal)
}

async function letGo(parts: AbandonParts, object: Experiment, signal: AbortSignal): Promise<void> {
  const { resourceVersion, finalizers = [] } = object.metadata
  const metadata = {
    resourceVersion,
    finalizers: finalizers.filter((one) => one !== runFinalizer),
    annotations: { [claimAnnotation]: null, [abandonAnnotation]: null },
  }
  await parts.client.mergePatch(pathOf(parts, object), { metadata }, { signal })
}
