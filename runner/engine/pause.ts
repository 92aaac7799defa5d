import type { Plan } from '../../model/plan.ts'
import { short } from '../../model/snapshot.ts'
import {
  isEnded,
  mayContinue,
  type RunState,
  recordKey,
  type TargetState,
  type TaskState,
} from '../../model/state.ts'
import type { FactBody } from './fact.ts'

type PausedFact = Extract<FactBody, { fact: 'paused' }>
type ShapeOf = (fault: string) => { hands: 'kube' | 'node'; lasts: 'instant' | 'while-held' }

/** A pause as the engine hears of it: what it ends, and what it cannot end. */
export function pauseOf(
  by: string,
  { plan, state, shapeOf }: { plan: Plan; state: RunState; shapeOf: ShapeOf },
): PausedFact {
  const goesOn: string[] = []
  const held: Record<string, string[]> = {}
  for (const { name, fault } of plan.tasks) {
    const task = state.tasks.find((t) => t.name === name)
    if (task?.stage !== 'chaos') continue
    const { hands, lasts } = shapeOf(fault)
    if (lasts === 'instant') goesOn.push(name)
    else held[name] = task.targets.filter((t) => isBegun(t, task, hands)).map(recordKey)
  }
  return { fact: 'paused', by, goesOn, held }
}

/** Something was done to the target, or its node was told to. */
const isBegun = (target: TargetState, { wave }: TaskState, hands: 'kube' | 'node'): boolean =>
  !isEnded(target) &&
  (target.state !== 'targeted' ||
    target.undo !== undefined ||
    (hands === 'node' && target.wave < wave))

/** What is shorter is not worth another injection, milliseconds. */
export const leastHoldMs = 500

/** What was asked of a record and not held when the pause ended it, milliseconds. */
function leftOf(target: TargetState, durationMs: number): number {
  const { holdMs: asked = durationMs, injectedAt, revertedAt, heldMs } = target
  const seen = injectedAt === undefined ? 0 : (revertedAt ?? injectedAt) - injectedAt
  return Math.round(asked - (heldMs ?? seen))
}

/** The next record of a target. */
export const nextRecord = (
  { id, kind, namespace, name, uid, container, containerId, node, wave, round, until }: TargetState,
  holdMs: number,
): TargetState => ({
  id,
  kind,
  namespace,
  name,
  uid,
  ...(container === undefined ? {} : { container }),
  ...(containerId === undefined ? {} : { containerId }),
  ...(node === undefined ? {} : { node }),
  wave,
  state: 'targeted',
  round: (round ?? 0) + 1,
  holdMs,
  ...(until === undefined ? {} : { until }),
})

/** How long a record that comes later may still be held, milliseconds. */
export const holdLeft = ({ holdMs = 0, until }: TargetState, now: number): number =>
  until === undefined ? holdMs : Math.min(holdMs, Math.round(until - now))

/** Its time was over before it was hit. */
export const isTooLate = (target: TargetState, now: number): boolean =>
  target.state === 'targeted' && target.until !== undefined && holdLeft(target, now) < leastHoldMs

/** The targets whose hold a pause has ended before its time, with what is left of it. */
export function toContinue(task: TaskState, durationMs: number): TargetState[] {
  return task.targets.flatMap((target) => {
    const ended = target.state === 'reverted' || target.state === 'untouched'
    if (!ended || !mayContinue(target, task)) return []
    const left = leftOf(target, durationMs)
    return left < leastHoldMs ? [] : [nextRecord(target, left)]
  })
}

/** What a pause ends is known from here on, however long it takes and whoever carries the run on. */
export function paused(state: RunState, fact: PausedFact & { at: number }): RunState {
  if (state.paused || state.abort || state.finishedAt !== undefined) return state
  const suspend = (task: TaskState): TaskState => {
    const held = fact.held[task.name] ?? []
    if (held.length === 0) return task
    const targets = task.targets.map((t) =>
      !isEnded(t) && held.includes(recordKey(t)) ? { ...t, suspended: true } : t,
    )
    return { ...task, targets }
  }
  return {
    ...state,
    paused: { by: short(fact.by, 200), since: fact.at, goesOn: fact.goesOn },
    pauses: (state.pauses ?? 0) + 1,
    tasks: state.tasks.map(suspend),
  }
}

/** The clock of what stood still goes on where it was. */
export function resumed(state: RunState, at: number): RunState {
  const pause = state.paused
  if (!pause) return state
  const shifted = (from: number): number => from + Math.max(0, at - Math.max(pause.since, from))
  const shift = (task: TaskState): TaskState => ({
    ...task,
    ...(task.stageAt === undefined ? {} : { stageAt: shifted(task.stageAt) }),
    targets: task.targets.map((t) => later(t, Math.max(0, at - pause.since))),
    ...(task.stage === 'chaos' && task.chaosAt !== undefined
      ? { chaosAt: shifted(task.chaosAt) }
      : {}),
  })
  return {
    ...ranOn(state, at),
    tasks: state.tasks.map((t) => (isResting(state, t) ? shift(t) : t)),
  }
}

/** The end of the whole, as its records tell it, moves by the pause. */
const later = (target: TargetState, ms: number): TargetState => ({
  ...target,
  ...(target.until === undefined ? {} : { until: target.until + ms }),
  ...(target.cut && target.endsAt !== undefined ? { endsAt: target.endsAt + ms } : {}),
})

/** Without the pause, which is counted. */
export function ranOn({ paused: pause, ...state }: RunState, at: number): RunState {
  if (!pause) return state
  return { ...state, pausedMs: (state.pausedMs ?? 0) + Math.max(0, Math.round(at - pause.since)) }
}

/** Whether the task stands still: reverts, and what strikes at once, never do. */
export const isResting = (
  { paused: pause, abort }: RunState,
  { name, stage }: TaskState,
): boolean =>
  pause !== undefined &&
  abort === undefined &&
  stage !== 'done' &&
  stage !== 'reverting' &&
  !(stage === 'chaos' && pause.goesOn.includes(name))
