import PQueue from 'p-queue'
import { recordKey, type TargetState } from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import { atOnce, type Carry, stateOf, taskOf } from './actor.ts'
import { type At, heldFaultOf, lockOf, undoOf } from './held.ts'
import { tellLost } from './restore.ts'

/** Pause between two looks at what is held; longer for many targets, so that they cost at most 20 reads a second. */
const lookMs = 3000
const perTargetMs = 50

type Io = Parameters<Carry<Action>>[2]

/** Looks again and again whether what is held is still in effect: the seconds of a hold are those that it really had. */
export const oversee: Carry<Extract<Action, { do: 'oversee' }>> = async (action, actor, io) => {
  const at = { task: taskOf(actor, action.task), actor }
  const held = (): TargetState[] =>
    stateOf(actor, action.task).targets.filter((t) => t.state === 'injected')
  while (!io.signal.aborted) {
    const pauseMs = Math.max(lookMs, held().length * perTargetMs)
    await actor.clock.sleep(pauseMs, io.signal).catch(() => {})
    const pool = new PQueue({ concurrency: atOnce })
    await pool.addAll(held().map((target) => () => look(target, at, io)))
  }
}

async function look(target: TargetState, at: At, io: Io): Promise<void> {
  const { actor, task } = at
  const now = actor.clock.now()
  const world = { kube: actor.context.kube, signal: io.signal }
  // Who does not answer says nothing about the effect.
  const holds = await heldFaultOf(task)
    .holds(target, undoOf(target), world)
    .catch(() => null)
  const hold = actor.holds.get(lockOf(task, recordKey(target))) ?? { sure: false }
  if (holds) actor.holds.set(lockOf(task, recordKey(target)), { ...hold, seenAt: now })
  // By the end of the hold it is our own revert that ends the effect.
  const over = io.signal.aborted || actor.clock.now() >= (target.endsAt ?? 0)
  if (holds === false && !over) tellLost(target, at, io)
}
