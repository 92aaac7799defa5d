import { halt } from '../../lib/crash.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { isNotFound } from '../../lib/kube/errors.ts'
import type { EventRecorder } from '../../lib/kube/events.ts'
import { apiVersionOf, type ResourceKind, resourcePath } from '../../lib/kube/paths.ts'
import type { Cache } from '../../lib/kube/store.ts'
import type { Pass } from '../../lib/kube/workers.ts'
import { documentMark } from '../../model/document-mark.ts'
import type { Plan } from '../../model/plan.ts'
import { toldSoon } from '../tell.ts'
import { type Decision, decide, type OwnStatus } from './decide.ts'
import { toldKey } from './happenings.ts'
import { judge } from './judge.ts'
import { type Experiment, isSettled, type Memory, observe, type RunnerLife } from './observe.ts'

/** What carrying out decisions needs. */
export type ExperimentParts = {
  client: KubeClient
  kind: ResourceKind
  dialect: Plan['dialect']
  cache: Cache<Experiment>
  recorder: EventRecorder
  lifeOf: (holder: string) => RunnerLife
  now: () => number
}

/** The owner of every field of status but `run`. */
export const fieldManager = 'chaosplane-operator'

type Own = { object: Experiment; status: OwnStatus }

/**
 * Sends all our fields; undefined when the object is gone. Without a resourceVersion: the runner writes the same
 * object at the same moments, and each conflict would cost two requests and the verdict's time. A namesake that was
 * hit instead gets its own fields with its own next pass, for it is not as it should be.
 */
async function apply(
  { client, kind, dialect }: ExperimentParts,
  { object, status }: Own,
  signal: AbortSignal,
): Promise<Experiment | undefined> {
  const { name, namespace = '', uid } = object.metadata
  const path = resourcePath({ ...kind, namespace, name, subresource: 'status' })
  const body = {
    apiVersion: apiVersionOf(kind),
    kind: dialect,
    metadata: { name, namespace },
    status,
  }
  try {
    // force: a field that a human wrote over is ours again
    const call = { signal, fieldManager, force: true }
    const written = await client.apply<Experiment>(path, body, call)
    return written.metadata.uid === uid ? written : undefined
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}

type Pending = { object: Experiment; memory: Memory; decision: Decision }

/** A pass over one experiment. What it remembers holds for one term of leading: `reset` begins the next. */
export type ExperimentPass = {
  pass(key: string, signal: AbortSignal): Promise<Pass>
  reset(): void
}

/** Looks at one experiment, decides, and writes what follows. */
export function createExperimentPass(parts: ExperimentParts): ExperimentPass {
  const memories = new Map<string, { uid: string; memory: Memory }>()
  const write = async ({ object, memory, decision }: Pending, signal: AbortSignal) => {
    if (!decision.status) return
    // From then on nobody looks at it again: a leader that dies now must have told how it ended.
    if (decision.status.endTime !== undefined) await toldSoon(parts.recorder, object, signal)
    CRASH: await halt('operator/status-writing', object.metadata.name)
    const written = await apply(parts, { object, status: decision.status }, signal)
    if (!written) return
    CRASH: await halt('operator/status-written', object.metadata.name)
    memory.written = { status: decision.status, version: written.metadata.resourceVersion }
    memory.writtenAt = parts.now()
  }
  const pass = async (key: string, signal: AbortSignal): Promise<Pass> => {
    const object = parts.cache.get(key)
    if (!object || isSettled(object)) {
      memories.delete(key)
      return { next: 'idle' }
    }
    const memory = memoryOf(memories, key, object)
    const seen = observe(object, memory, {
      judge: (_, run) => judge(parts.dialect, run),
      markOf: (of) => documentMark(parts.dialect, of),
      lifeOf: parts.lifeOf,
      now: parts.now(),
    })
    const decision = decide(seen, memory)
    const runId = seen.run?.runId ?? ''
    remember(memory, decision, runId)
    for (const told of decision.tell) {
      const { type, reason, note } = told
      const id = `${object.metadata.uid}/${runId}/${toldKey(told)}`
      parts.recorder.record({ regarding: object, type, reason, note, id })
    }
    await write({ object, memory, decision }, signal)
    if (decision.againMs === undefined) return { next: 'idle' }
    return { next: 'again', inMs: decision.againMs, reason: 'a run is under way' }
  }
  return { pass, reset: () => memories.clear() }
}

function memoryOf(
  memories: Map<string, { uid: string; memory: Memory }>,
  key: string,
  object: Experiment,
): Memory {
  const known = memories.get(key)
  if (known?.uid === object.metadata.uid) return known.memory
  const memory: Memory = { told: new Set(), toldOf: '' }
  memories.set(key, { uid: object.metadata.uid, memory })
  return memory
}

function remember(memory: Memory, decision: Decision, runId: string): void {
  if (memory.toldOf !== runId) {
    memory.told = new Set()
    memory.toldOf = runId
  }
  for (const told of decision.tell) memory.told.add(toldKey(told))
  if (decision.dirtySince === undefined) delete memory.dirtySince
  else memory.dirtySince = decision.dirtySince
}
