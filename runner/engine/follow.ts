import { isEnded, type TargetState, type TaskState } from '../../model/state.ts'
import type { Action } from './action.ts'
import { leastHoldMs } from './pause.ts'
import { lastWave, type View } from './view.ts'

/** When the hold of the whole task ends, unix milliseconds: whoever comes later is not held beyond that. */
export function holdEnd({ targets, chaosAt = 0 }: TaskState, durationMs: number): number {
  const ends = targets.flatMap((t) => (t.endsAt === undefined || t.suspended ? [] : [t.endsAt]))
  return ends.length > 0 ? Math.min(...ends) : chaosAt + durationMs
}

/** A dynamic task looks for new targets as long as its hold lasts, also while none is left. */
export function following(v: View): { want: Action[]; wakeAt: number } | null {
  const { dynamic, trouble, targets, wave, injections } = v.state
  if (!dynamic || trouble || injections === 0 || wave <= lastWave(targets)) return null
  const end = holdEnd(v.state, v.plan.durationMs) - leastHoldMs
  return v.now < end ? { want: [{ do: 'follow', task: v.plan.name }], wakeAt: end } : null
}

export type Present = Omit<TargetState, 'wave' | 'state'>

/** The same pod, and the same life of its container. */
const isSameLife = (a: TargetState, b: Present): boolean =>
  a.uid === b.uid && a.containerId === b.containerId

/**
 * What follows from a look: records of targets that are no longer there, and those that could be hit now. `outlives`:
 * what is done stays with the pod when its container is started again, so the pod alone says what is there.
 */
export function comparedWith(
  { targets }: TaskState,
  present: Present[],
  outlives: boolean,
): { gone: TargetState[]; held: number; fresh: Present[] } {
  const isSame = (t: TargetState, p: Present) => (outlives ? t.uid === p.uid : isSameLife(t, p))
  const isThere = (t: TargetState) => present.some((p) => isSame(t, p))
  const isKnown = (p: Present) =>
    targets.some((t) => isSameLife(t, p) || (!isEnded(t) && isSame(t, p)))
  return {
    gone: targets.filter(
      (t) => t.cut && isEnded(t) && t.outcome !== 'noLongerExists' && !isThere(t),
    ),
    held: targets.filter((t) => !isEnded(t) && isThere(t)).length,
    // What was hit once and is still there was cut short or failed: it is not tried for ever.
    fresh: present.filter((p) => !isKnown(p)),
  }
}

/** The record of a target that comes after its wave was sent. */
export function lateRecord(
  present: Present,
  { targets }: TaskState,
  { holdMs, until }: { holdMs: number; until: number },
): TargetState {
  const before = targets.filter((t) => t.id === present.id)
  const round = before.length === 0 ? 0 : Math.max(...before.map((t) => t.round ?? 0)) + 1
  return { ...present, wave: 0, state: 'targeted', holdMs, until, ...(round > 0 ? { round } : {}) }
}
