import type { Plan, Refusal } from '../../model/plan.ts'
import { type RunState, runStateSchema, type TaskState } from '../../model/state.ts'
import { finalizer } from './claim.ts'
import type { Experiment } from './resource.ts'

const newTask = (name: string, fault: string, weight: number): TaskState => ({
  name,
  fault,
  weight,
  stage: 'pending',
  prepared: false,
  wave: 0,
  injections: 0,
  targets: [],
  probes: [],
  acknowledged: {},
  pods: [],
  streamPosition: 0,
})

type Birth = {
  runId: string
  runner: string
  instance: string
  generation: number
  seed: number
  at: number
  previousRunIds: string[]
}

/** The state of a run that begins. */
export function newRun(plan: Plan | null, birth: Birth): RunState {
  const { at, ...rest } = birth
  return {
    ...rest,
    notifyId: '',
    startedAt: at,
    notes: (plan?.notes ?? []).slice(0, 50),
    tasks: (plan?.tasks ?? []).map((t) => newTask(t.name, t.faultWritten, t.weight)),
    adoptions: 0,
  }
}

/** The state of a document that cannot be run. */
export function refusedRun(refusals: Refusal[], birth: Birth): RunState {
  return { ...newRun(null, birth), refused: refusals.slice(0, 20), finishedAt: birth.at }
}

/** What is to be done with a resource, by what it says alone. */
export type Finding =
  | { do: 'nothing' }
  | { do: 'begin'; previousRunIds: string[] }
  | { do: 'carry-on'; state: RunState }
  /** claimed, never begun, and deleted */
  | { do: 'let-go' }
  /** the state cannot be read: said, never guessed */
  | { do: 'complain'; why: string }

const keptIds = 49

const released = ({ metadata }: Experiment): Finding =>
  metadata.finalizers?.includes(finalizer) ? { do: 'let-go' } : { do: 'nothing' }

/** One resource is one run; a new `experimentRunId` starts another one, a used one never does. */
export function findingOf(object: Experiment): Finding {
  const raw = object.status?.run
  const deleting = object.metadata.deletionTimestamp !== undefined
  if (raw === undefined || raw === null)
    return deleting ? released(object) : { do: 'begin', previousRunIds: [] }
  const parsed = runStateSchema.safeParse(raw)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    return { do: 'complain', why: `status.run.${issue?.path.join('.')}: ${issue?.message}` }
  }
  const state = parsed.data
  const over = state.finishedAt !== undefined
  if (!over) return { do: 'carry-on', state }
  // The verdict stands, but fault pods or the finalizer may still be there.
  if (object.metadata.finalizers?.some((f) => f.startsWith('chaos.chaosplane.io/')))
    return { do: 'carry-on', state }
  const wanted = object.spec?.['experimentRunId']
  const used = [...state.previousRunIds, state.runId]
  if (deleting || typeof wanted !== 'string' || wanted === '' || used.includes(wanted))
    return { do: 'nothing' }
  return { do: 'begin', previousRunIds: used.slice(-keptIds) }
}
