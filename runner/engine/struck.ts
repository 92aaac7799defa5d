import { recordKey } from '../../model/state.ts'
import type { Action } from './action.ts'
import { afterRevert, type Chaos, loops, type View, waiting } from './view.ts'

/** One action for each target that has been struck and is not complete. */
const settle = (v: View): Action[] =>
  v.state.targets
    .filter((t) => t.state === 'injected')
    .map((t) => ({ do: 'settle', task: v.plan.name, wave: t.wave, target: recordKey(t) }))

/** A strike that was cut off may have hit targets that nobody has heard of yet. */
const spare = (v: View): Action[] =>
  v.state.chaosAt !== undefined && waiting(v.state.targets, v.state.wave).length > 0
    ? [{ do: 'spare', task: v.plan.name, wave: v.state.wave }]
    : []

/** An API-level fault that strikes and is over, again and again. */
export const struck: Chaos = {
  chaos(v) {
    const start = v.state.chaosAt ?? v.now
    const end = start + v.plan.durationMs
    if (v.ending || v.state.trouble) return { move: 'reverting' }
    const offset = v.shape.waveOffset(v.plan, v.state.wave, v.run.seed)
    const due = offset === null || offset >= v.plan.durationMs ? null : start + offset
    const want: Action[] = [...loops(v), ...settle(v)]
    if (due !== null && v.now >= due)
      return {
        want: [...want, { do: 'strike', task: v.plan.name, wave: v.state.wave }],
        wakeAt: end,
      }
    // A strike that is due is done even when the machine was busy at the end of the duration.
    if (v.now >= end) return { move: 'reverting' }
    return { want, wakeAt: Math.min(end, due ?? end) }
  },
  // What has begun goes on while the run is paused; what has not waits before this stage.
  resting: () => ({}),
  reverting(v) {
    const want = [...spare(v), ...settle(v)]
    return want.length > 0 ? { want } : afterRevert(v)
  },
}
