import type { TaskPlan } from '../../model/plan.ts'
import {
  isEnded,
  type ProbeState,
  type RunState,
  type Stage,
  stages,
  type TargetState,
  type TaskState,
} from '../../model/state.ts'
import type { Action } from './action.ts'
import { toContinue } from './pause.ts'

/** What the engine must know of a fault, apart from its plan. */
export type FaultShape = {
  hands: 'kube' | 'node'
  lasts: 'instant' | 'while-held'
  /** start of wave n after the first, milliseconds; null: there is no such wave */
  waveOffset(task: TaskPlan, wave: number, seed: number): number | null
}

/** One task, and all that its decision depends on. */
export type View = {
  plan: TaskPlan
  state: TaskState
  shape: FaultShape
  run: RunState
  now: number
  /** why the task must end now, or null */
  ending: string | null
}
/** `joins`: targets that are hit again, for what a pause has left of their hold */
export type TaskDecision = { move?: Stage; joins?: TargetState[]; want?: Action[]; wakeAt?: number }

/** The two stages that differ by what does the harm: a strike, an object that is held, fault pods. */
export type Chaos = {
  chaos(v: View): TaskDecision
  reverting(v: View): TaskDecision
  /** in the stage `chaos` of a run that is paused */
  resting(v: View): TaskDecision
}

const loopModes = new Set(['Continuous', 'OnChaos', 'AbortWhen'])
export const isLoop = (p: ProbeState): boolean => loopModes.has(p.mode)

/** Loops of these modes that are not judged yet. */
export const loops = (v: View, modes: readonly string[] = [...loopModes]): Action[] =>
  v.state.probes
    .filter((p) => modes.includes(p.mode) && p.during === undefined)
    .map((p) => ({ do: 'watch', task: v.plan.name, probe: p.name }))

/** Fault pods that may still have something to tell. */
export const hasPods = (task: TaskState): boolean => task.pods.length > 0 && !task.closed

export const attend = (v: View): Action[] =>
  v.shape.hands === 'node' && v.state.prepared && !v.state.closed
    ? [{ do: 'attend', task: v.plan.name }]
    : []

/** The targets of a wave that can still be hit. */
export const waiting = (targets: TargetState[], wave: number): TargetState[] =>
  targets.filter((t) => t.wave === wave && t.state === 'targeted')

/** A pause has ended this record, and its revert is not proven yet. */
export const isLeaving = (target: TargetState): boolean =>
  target.suspended === true && !isEnded(target)

/** Targets whose hold a pause has cut; a task in trouble begins nothing more, also nothing again. */
export function continued({ state, plan }: View): TaskDecision | null {
  const joins = state.trouble ? [] : toContinue(state, plan.durationMs)
  return joins.length > 0 ? { joins } : null
}

/** Whether the task is in that stage or has been. */
export const isPast = (task: TaskState, stage: Stage): boolean =>
  stages.indexOf(task.stage) >= stages.indexOf(stage)

export const lastWave = (targets: TargetState[]): number =>
  Math.max(0, ...targets.map((t) => t.wave))

/** Loops whose task is over are judged within this, milliseconds. */
const judgeMs = 10_000

/** Probe loops are judged before anything else is evaluated after chaos; an early end judges nothing more. */
export function afterRevert(v: View): TaskDecision {
  if (v.ending || v.state.trouble || v.state.chaosAt === undefined) return { move: 'done' }
  const unjudged = v.state.probes.some((p) => isLoop(p) && p.mode !== 'AbortWhen' && !p.during)
  if (!unjudged) return { move: 'ramp-down' }
  // A loop that nobody runs any more (its runner was replaced) is never judged; it says so then.
  const until = (v.state.stageAt ?? v.now) + judgeMs
  return v.now >= until ? { move: 'ramp-down' } : { wakeAt: until }
}
