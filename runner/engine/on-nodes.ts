import { isEnded, recordKey, type TargetState } from '../../model/state.ts'
import type { Action } from './action.ts'
import { following } from './follow.ts'
import { isTooLate } from './pause.ts'
import {
  afterRevert,
  attend,
  type Chaos,
  continued,
  hasPods,
  isLeaving,
  lastWave,
  loops,
  type View,
  waiting,
} from './view.ts'

/** A hold that the node has not ended by then is asked after; milliseconds past the node's own deadline. */
const lateMs = 3000

/**
 * When a hold is over by itself; of a target of which nobody could tell whether it was hit, when it would be. Whoever is
 * there by then puts it back, or says that there is nothing to put back.
 */
function endOf({ plan, state }: View, target: TargetState): number | undefined {
  if (target.endsAt !== undefined || target.state !== 'owed') return target.endsAt
  return target.until ?? (state.stageAt ?? 0) + plan.durationMs
}

/** Others of the task may wait for their turn, armed: they are not stopped. */
function overdue(v: View, open: TargetState[]): Action[] {
  const late = open.filter((t) => v.now > (endOf(v, t) ?? Infinity) + lateMs)
  const targets = late.map(recordKey)
  if (targets.length === 0) return []
  return [{ do: 'stop', task: v.plan.name, reason: 'the deadline has passed', targets }]
}

function nextDeadline(v: View, open: TargetState[]): number {
  const ends = open.map((t) => (endOf(v, t) ?? -Infinity) + lateMs)
  const ahead = ends.filter((at) => at > v.now)
  return ahead.length > 0 ? Math.min(...ahead) + 1 : v.now + lateMs
}

/** Also what was never hit, and has no time left for it. */
const suspend = (v: View): Action[] =>
  v.state.targets.some((t) => isLeaving(t) || isTooLate(t, v.now))
    ? [{ do: 'suspend', task: v.plan.name }]
    : []

/** Targets that joined a wave that has been sent, and whose node may not have heard of them. */
function join({ plan, state, now }: View): Action[] {
  const isOpen = (t: TargetState) =>
    t.holdMs !== undefined && t.state === 'targeted' && !t.suspended && !isTooLate(t, now)
  const open = state.targets.filter((t) => isOpen(t) && t.wave < state.wave)
  return open.length > 0 ? [{ do: 'join', task: plan.name, count: open.length }] : []
}

/**
 * A fault pod may have started by itself once chaos has begun, or have been told to go by a runner that died before
 * that was stored: what it did is asked, not guessed.
 */
const mayBeBegun = ({ state, run }: View, target: TargetState): boolean =>
  target.wave < state.wave ||
  target.state !== 'targeted' ||
  ((state.chaosAt !== undefined || run.adoptions > 0) && hasPods(state))

/** A fault in fault pods: they hold and revert, the engine tells them when and listens. */
export const onNodes: Chaos = {
  chaos(v) {
    if (v.ending) return { move: 'reverting' }
    const again = continued(v)
    if (again) return again
    const { targets, wave } = v.state
    const want: Action[] = [...attend(v), ...loops(v), ...suspend(v), ...join(v)]
    const open = targets.filter((t) => t.wave < wave && !isEnded(t))
    if (open.length > 0)
      return {
        want: [...want, ...overdue(v, open), ...(following(v)?.want ?? [])],
        wakeAt: nextDeadline(v, open),
      }
    const follow = following(v)
    if (follow) return { ...follow, want: [...want, ...follow.want] }
    if (wave > lastWave(targets) || (v.state.trouble && waiting(targets, wave).length > 0))
      return { move: 'reverting' }
    return { want: [...want, { do: 'go', task: v.plan.name, wave }] }
  },
  resting: (v) => ({ want: [...attend(v), ...suspend(v)] }),
  reverting(v) {
    const open = v.state.targets.filter((t) => mayBeBegun(v, t) && !isEnded(t))
    if (open.length === 0) return afterRevert(v)
    return {
      want: [
        ...attend(v),
        { do: 'stop', task: v.plan.name, reason: v.ending ?? 'the task has ended' },
      ],
      wakeAt: v.now + 1000,
    }
  },
}
