import { recordKey, type TargetState } from '../../model/state.ts'
import type { Action } from './action.ts'
import { following } from './follow.ts'
import { mayBeHeld } from './reduce.ts'
import {
  afterRevert,
  type Chaos,
  continued,
  isLeaving,
  lastWave,
  loops,
  type View,
} from './view.ts'

const restore =
  (v: View) =>
  (target: TargetState): Action => ({
    do: 'restore',
    task: v.plan.name,
    target: recordKey(target),
  })

/** The hold is over, or the effect has ended by itself: what is left of it is put back. */
const isDue = (target: TargetState, now: number): boolean =>
  isLeaving(target) ||
  target.state === 'lost' ||
  target.state === 'owed' ||
  (target.state === 'injected' && now >= (target.endsAt ?? 0))

const isHeldAndDue = (target: TargetState, now: number): boolean =>
  mayBeHeld(target) && isDue(target, now)
const isWaiting = (target: TargetState): boolean => target.state === 'targeted'

/** Somebody else may end an effect before its time. */
const oversee = (v: View, held: TargetState[]): Action[] =>
  held.some((t) => t.state === 'injected' && !isDue(t, v.now))
    ? [{ do: 'oversee', task: v.plan.name }]
    : []

/** An API-level fault that is injected once, held, and put back, one wave after the other. */
export const held: Chaos = {
  chaos(v) {
    if (v.ending) return { move: 'reverting' }
    const again = continued(v)
    if (again) return again
    const { targets } = v.state
    // Targets that joined an earlier wave come before those of a later one.
    const wave = Math.min(v.state.wave, ...targets.filter(isWaiting).map((t) => t.wave))
    const open = targets.filter(mayBeHeld)
    const begins = wave <= lastWave(targets) && !open.some((t) => t.wave < wave)
    const follow = following(v)
    if (open.length === 0 && (!begins || v.state.trouble))
      return follow ? { ...follow, want: [...loops(v), ...follow.want] } : { move: 'reverting' }
    const due = open.filter((t) => isDue(t, v.now))
    const want = [...loops(v), ...oversee(v, open), ...due.map(restore(v)), ...(follow?.want ?? [])]
    // Its own wave may still be under way after an adoption: what is on record is injected, nothing else.
    if (begins) want.push({ do: 'inject', task: v.plan.name, wave })
    const ends = open.flatMap((t) =>
      t.state === 'injected' && !isDue(t, v.now) ? (t.endsAt ?? v.now) : [],
    )
    return { want, ...(ends.length > 0 ? { wakeAt: Math.min(...ends) } : {}) }
  },
  resting: (v) => ({ want: v.state.targets.filter((t) => isHeldAndDue(t, v.now)).map(restore(v)) }),
  reverting(v) {
    const want = v.state.targets.filter(mayBeHeld).map(restore(v))
    return want.length > 0 ? { want } : afterRevert(v)
  },
}
