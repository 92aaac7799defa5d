import { isEnded, mayContinue, type RunState, type TargetState, type TaskState } from './state.ts'

/**
 * How much of its resource a run may take. etcd takes 1.5 MiB for one object, and what is larger is lost with
 * everything that stands in it: so the record of a run is bounded as a whole, in bytes of JSON.
 */
export const maxRunBytes = 900_000
const maxObjectBytes = 1_500_000
/** The most that the operator's own fields of status take. */
const operatorBytes = 430_000

export const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? '')

/** Bytes that are left for `status.run` beside the document; every field of it stands in managedFields once more. */
export const roomFor = (document: unknown): number =>
  Math.max(0, Math.min(maxRunBytes, maxObjectBytes - operatorBytes - 2 * bytesOf(document)))

/** The beginning of a text: documents and answers can be of any length, status cannot. */
export const short = (text: string, max: number): string =>
  text.length > max ? `${text.slice(0, max - 1)}…` : text

const maxNotes = 50

/** Notes as status has room for them: each once, and how many were left out. */
export function withNotes(before: string[], more: readonly string[]): string[] {
  if (before.length >= maxNotes) return before
  const all = [...new Set([...before, ...more.map((note) => short(note, 1000))])]
  if (all.length <= maxNotes) return all
  const kept = maxNotes - 1
  return [...all.slice(0, kept), `${all.length - kept} more notes are left out.`]
}

/** How long texts may be: the record says in any case what was done to whom and what is owed. */
type Limits = { reason: number; detail: number; commands: number }
const brief: Limits = { reason: 300, detail: 150, commands: 5 }
const terse: Limits = { reason: 120, detail: 0, commands: 1 }

/**
 * The state as it is stored: when it is larger than `maxBytes`, records of targets that are done with go first, the
 * oldest before the others, and are counted; then texts are cut. Never dropped: an open record, whatever an engine
 * that takes the run over decides by, and fields that are not known here.
 */
export function fitted(run: RunState, maxBytes: number): RunState {
  const over = bytesOf(run) - maxBytes
  if (over <= 0) return run
  const lighter = withoutRecords(run, over)
  if (bytesOf(lighter) <= maxBytes) return lighter
  const cut = withTexts(lighter, brief)
  return bytesOf(cut) <= maxBytes ? cut : withTexts(lighter, terse)
}

/**
 * Nobody decides by the record of a target any more: its wave is over, and no fault pod is left that is found
 * through it.
 */
const isSpare = (task: TaskState, target: TargetState): boolean =>
  isEnded(target) &&
  !mayContinue(target, task) &&
  (task.closed === true || task.pods.length === 0) &&
  (task.stage === 'done' || (target.wave < task.wave && !task.dynamic))

/** `,"dropped":1234` */
const countBytes = 15

function withoutRecords(run: RunState, over: number): RunState {
  const spare = run.tasks.flatMap((task) => task.targets.filter((t) => isSpare(task, t)))
  const age = (t: TargetState): number => t.revertedAt ?? t.injectedAt ?? 0
  const drop = new Set<TargetState>()
  let left = over + countBytes * run.tasks.length
  for (const target of spare.sort((a, b) => age(a) - age(b))) {
    if (left <= 0) break
    drop.add(target)
    left -= bytesOf(target) + 1
  }
  return { ...run, tasks: run.tasks.map((task) => without(task, drop)) }
}

function without(task: TaskState, drop: ReadonlySet<TargetState>): TaskState {
  const targets = task.targets.filter((t) => !drop.has(t))
  const gone = task.targets.length - targets.length
  return gone === 0 ? task : { ...task, targets, dropped: (task.dropped ?? 0) + gone }
}

const withTexts = (run: RunState, limits: Limits): RunState => ({
  ...run,
  shortened: true,
  notes: run.notes.map((note) => short(note, limits.reason)),
  tasks: run.tasks.map((task) => ({
    ...task,
    ...reasonOf(task, limits),
    probes: task.probes.map((probe) => ({
      ...probe,
      ...reasonOf(probe, limits),
      description: short(probe.description, limits.reason),
    })),
    targets: task.targets.map((target) => cutTarget(target, limits)),
  })),
})

const reasonOf = ({ trouble }: Pick<TaskState, 'trouble'>, { reason }: Limits) =>
  trouble ? { trouble: { ...trouble, reason: short(trouble.reason, reason) } } : {}

function cutTarget(
  { evidence, proof, remaining, ...target }: TargetState,
  { detail, reason, commands }: Limits,
): TargetState {
  return {
    ...target,
    ...(evidence && detail > 0 ? { evidence: short(evidence, detail) } : {}),
    ...(proof && detail > 0 ? { proof: short(proof, detail) } : {}),
    ...(remaining ? { remaining: remaining.slice(0, commands).map((c) => short(c, reason)) } : {}),
  }
}

/** What a record still gains until it is done with: times, an outcome, the first reason, the names of its fault pods. */
const growth = { task: 600, probe: 250, target: 500 }

/** The least that this state, and all that comes of it without more targets, can be stored in. */
export function leastBytes(run: RunState): number {
  const open = run.tasks.filter((t) => t.stage !== 'done')
  const probes = open.flatMap((t) => t.probes)
  const targets = run.tasks.flatMap((t) => t.targets).filter((t) => !isEnded(t))
  return (
    bytesOf(fitted(run, 0)) +
    growth.task * open.length +
    growth.probe * probes.length +
    growth.target * targets.length
  )
}
