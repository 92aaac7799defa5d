import type { Plan, Refusal, TaskPlan } from '../../model/plan.ts'
import { readRun } from '../../model/read-run.ts'
import { runFinalizer } from '../../model/runner-life.ts'
import { leastBytes, short, withNotes } from '../../model/snapshot.ts'
import type { RefusalKind, RunState, TaskState } from '../../model/state.ts'
import { claimOf, type Identity, sameIdentity } from './claim.ts'
import { stateOfProbe } from './resolve.ts'
import type { Experiment } from './resource.ts'

const newTask = ({ name, faultWritten, weight, dynamic }: TaskPlan): TaskState => ({
  name,
  fault: faultWritten,
  weight,
  ...(dynamic ? { dynamic } : {}),
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
  document: string
  seed: number
  at: number
  previousRunIds: string[]
}

const brief = (text: string): string => short(text, 1000)

/** The state of a run that begins. */
export function newRun(plan: Plan | null, birth: Birth): RunState {
  const { at, ...rest } = birth
  return {
    ...rest,
    notifyId: '',
    startedAt: at,
    notes: withNotes([], plan?.notes ?? []),
    tasks: (plan?.tasks ?? []).map(newTask),
    adoptions: 0,
  }
}

/** The state of a document that cannot be run, or of a run that may not begin. */
export function refusedRun(refusals: Refusal[], birth: Birth, as?: RefusalKind): RunState {
  const refused = refusals.slice(0, 20).map(({ path, reason, suggestion }) => ({
    path: brief(path),
    reason: brief(reason),
    suggestion: brief(suggestion),
  }))
  return { ...newRun(null, birth), refused, ...(as ? { refusedAs: as } : {}), finishedAt: birth.at }
}

const maxTasks = 100
const maxProbes = 50

/** What status has no room for is refused at the start: later it could never be written. `room` in bytes. */
export function tooLarge(plan: Plan, room: number): Refusal[] {
  const { tasks } = plan
  const suggestion = 'split it into several experiments'
  if (tasks.length > maxTasks)
    return [{ path: 'spec', reason: `${tasks.length} tasks, at most ${maxTasks} fit`, suggestion }]
  const crowded = tasks.find((t) => t.probes.length > maxProbes)
  if (crowded) {
    const reason = `task ${crowded.name} has ${crowded.probes.length} probes, at most ${maxProbes} fit`
    return [{ path: 'spec', reason, suggestion }]
  }
  const bytes = leastBytes(emptyRecord(plan))
  if (bytes <= room) return []
  const reason = `the record of its tasks and probes takes ${kB(bytes)} at least; beside the document status has room for ${kB(room)}`
  return [{ path: 'spec', reason, suggestion }]
}

const kB = (bytes: number): string => `${Math.ceil(bytes / 1000)} kB`

/** All that is on record before the first target, with ids as long as they can be. */
function emptyRecord(plan: Plan): RunState {
  const run = newRun(plan, {
    runId: 'r'.repeat(253),
    runner: 'r'.repeat(253),
    instance: 'i'.repeat(36),
    generation: 1,
    document: 'd'.repeat(32),
    seed: 0,
    at: 1,
    previousRunIds: [],
  })
  const probes = new Map(plan.tasks.map((t) => [t.name, t.probes.map(stateOfProbe)]))
  return { ...run, tasks: run.tasks.map((t) => ({ ...t, probes: probes.get(t.name) ?? [] })) }
}

/** Whether the plan no longer holds the tasks of this run. */
export const isOther = (plan: Plan, { tasks }: RunState): boolean =>
  tasks.some((t) => !plan.tasks.some((p) => p.name === t.name && p.faultWritten === t.fault))

/** Whether the object still shows the moment before the end of run `finished`, which this runner wrote. */
export function isEcho(object: Experiment, finished: string, me: Identity): boolean {
  const run = object.status?.run as Partial<RunState> | undefined
  // A later run of the resource, which another runner began.
  if (run?.previousRunIds?.includes(finished)) return false
  const holder = claimOf(object)
  const ours = holder !== null && sameIdentity(holder, me)
  return run?.runId !== finished || run.finishedAt === undefined || ours
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
  metadata.finalizers?.includes(runFinalizer) ? { do: 'let-go' } : { do: 'nothing' }

/** One resource is one run; a new `experimentRunId` starts another one, a used one never does. */
export function findingOf(object: Experiment): Finding {
  const read = readRun(object.status?.run)
  const deleting = object.metadata.deletionTimestamp !== undefined
  if (read.is === 'absent') return deleting ? released(object) : { do: 'begin', previousRunIds: [] }
  if (read.is === 'unreadable') return { do: 'complain', why: read.why }
  const { state } = read
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
