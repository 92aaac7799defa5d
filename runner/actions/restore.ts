import { halt, reach } from '../../lib/crash.ts'
import { KubeError } from '../../lib/kube/errors.ts'
import { hurried } from '../../lib/kube/hurried.ts'
import { isEnded, recordKey, type TargetState } from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import type { OwnIo, Restored } from '../faults/kube-fault.ts'
import { freeSlot } from '../hands/slots.ts'
import { type Actor, type Carry, stateOf, taskOf } from './actor.ts'
import { type At, heldFaultOf, holderOf, lockOf, slotsIn, slotsOf, textOf, undoOf } from './held.ts'

/** First and longest pause between two attempts to put a target back, milliseconds. */
const againMs = 200
const againLimitMs = 5000
/** While the API server is away it is asked at least this often, milliseconds. */
const awayLimitMs = 500
/** One attempt to put back and prove, and one call of it, milliseconds. */
const attemptMs = 30_000
const callMs = 10_000
/** No longer is waited for the record before a target is put back, milliseconds. */
const recordMs = 1000
/** What is not put back by then is called owed; much later when the API server says that it is busy or broken, milliseconds. */
const owedAfterMs = 3000
const busyAfterMs = 30_000
/**
 * An act whose answer was lost may still reach the API server after the revert: what was never seen to be
 * injected is looked at once more after this, milliseconds.
 */
const lateActMs = 1500
/** Slots are given back within this; what is not is found to be stale by who wants it next, milliseconds. */
const giveBackMs = 10_000

type Io = Parameters<Carry<Action>>[2]
/** `at`: when it was first seen to be as before, unix milliseconds */
type Done = Extract<Restored, { outcome: unknown }> & { at: number }

/** Puts one target back and proves it, for as long as it takes. */
export const restore: Carry<Extract<Action, { do: 'restore' }>> = async (action, actor, io) => {
  const at = { task: taskOf(actor, action.task), actor }
  const look = () =>
    stateOf(actor, action.task).targets.findLast((t) => recordKey(t) === action.target)
  // An act that is under way ends first: it was told to when the wish for it ended.
  await actor.alone(lockOf(at.task, action.target), async () => {
    const target = look()
    if (!target || isEnded(target) || io.signal.aborted) return
    const over = overBefore(target, at)
    const from = await heldFrom(target, at, { io, over })
    await onRecord(at, io.signal)
    CRASH: reach('runner/restoring', actor.resource.name)
    const done = await putBack(target, at, io)
    if (!done || io.signal.aborted) return
    CRASH: await halt('runner/proven', actor.resource.name)
    const { at: endedAt, ...rest } = done
    const heldMs = from === undefined ? 0 : Math.min(endedAt, from.to ?? endedAt) - from.at
    if (done.outcome === 'changedElsewhere')
      io.emit({ fact: 'said', task: action.task, level: 'warn', text: `[Revert]: ${done.proof}` })
    io.emit({ fact: 'reverted', task: action.task, target: action.target, ...rest, heldMs })
    CRASH: reach('runner/restored', actor.resource.name)
    await actor.durable(AbortSignal.timeout(giveBackMs)).catch(() => {})
    await giveBack(target, at)
  })
}

/**
 * Whoever takes over must not take the target for one that is still to be injected: that it was is stored before it is
 * put back. A status that cannot be written does not keep the target from being put back.
 */
async function onRecord({ actor }: At<Actor>, until: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([until, AbortSignal.timeout(recordMs)])
  await actor.durable(signal).catch(() => {})
}

/** Gives back what the target held for itself alone. */
export async function giveBack(target: TargetState, at: At): Promise<void> {
  const where = slotsIn(at, AbortSignal.timeout(giveBackMs))
  const freed = slotsOf(at, target).map((slot) => freeSlot(slot, holderOf(at, target), where))
  await Promise.allSettled(freed)
}

const ownIo = ({ actor }: At, until: AbortSignal): OwnIo => ({
  kube: hurried(actor.context.kube, callMs),
  signal: AbortSignal.any([until, AbortSignal.timeout(attemptMs)]),
})

/**
 * When a hold was to end that this runner has never looked after, unix milliseconds; undefined: it did look after it, or
 * its time has not come. A runner before this one may have put it back and died before that was stored.
 */
function overBefore(target: TargetState, { task, actor }: At): number | undefined {
  if (actor.holds.has(lockOf(task, recordKey(target)))) return undefined
  const { abort, paused } = actor.state()
  const ends = [target.endsAt, abort?.at, paused?.since].filter((end) => end !== undefined)
  const first = Math.min(...ends)
  return first <= actor.clock.now() ? first : undefined
}

/**
 * Since when the target has been held, and until when if that is known; unix milliseconds. Undefined: it never was. An
 * effect that somebody else has ended before its time is told as lost.
 */
async function heldFrom(
  target: TargetState,
  at: At,
  { io, over }: { io: Io; over: number | undefined },
): Promise<{ at: number; to?: number } | undefined> {
  const since = (from: number | undefined) => (from === undefined ? undefined : { at: from })
  if (target.state !== 'injected' && target.state !== 'targeted') return since(target.injectedAt)
  // An API server that does not answer says nothing about the effect.
  const holds = await heldFaultOf(at.task)
    .holds(target, undoOf(target), ownIo(at, io.signal))
    .catch(() => null)
  if (target.state === 'targeted') return holds ? since(target.plannedAt) : undefined
  const { injectedAt } = target
  if (holds === false && over !== undefined && injectedAt !== undefined)
    return { at: injectedAt, to: Math.max(injectedAt, over) }
  if (holds === false && !io.signal.aborted) tellLost(target, at, io)
  return since(injectedAt)
}

/** Somebody else has ended the effect: since when is not known, only when it was seen last. */
export function tellLost(target: TargetState, { task, actor }: At, io: Io): void {
  const from = target.injectedAt ?? actor.clock.now()
  const { seenAt = from } = actor.holds.get(lockOf(task, recordKey(target))) ?? {}
  const reason = 'the effect is no longer there before its time: somebody else has undone it'
  io.emit({
    fact: 'lost',
    task: task.name,
    target: recordKey(target),
    reason,
    heldMs: seenAt - from,
  })
}

/** Reverts and proves with growing pauses; says once what is left. Null when the signal came first. */
export async function putBack(target: TargetState, at: At, io: Io): Promise<Done | null> {
  const { clock } = at.actor
  let from = clock.now()
  const pause = (ms: number) => clock.sleep(ms, io.signal).catch(() => {})
  let told = ''
  let first: number | undefined
  const sure =
    target.state !== 'targeted' || at.actor.holds.get(lockOf(at.task, recordKey(target)))?.sure
  for (let waitMs = againMs; !io.signal.aborted; waitMs = Math.min(waitMs * 2, againLimitMs)) {
    const result = await attempt(target, at, io.signal)
    if ('outcome' in result) {
      const done = { ...result, at: first ?? clock.now() }
      if (sure || first !== undefined) return done
      first = done.at
      await pause(lateActMs)
      continue
    }
    if (io.signal.aborted) return null
    // While it is away, and when it has just come back, the API server says nothing about the target.
    if (result.unheard) {
      from = clock.now()
      waitMs = Math.min(waitMs, awayLimitMs)
    } else if (result.left !== told && clock.now() - from >= patienceWith(result)) {
      told = result.left
      io.emit(owedFact(target, at, result))
    }
    await pause(waitMs)
  }
  return null
}

const owedFact = (target: TargetState, { task }: At, { left, remaining }: Left) => ({
  fact: 'revert-failed' as const,
  task: task.name,
  target: recordKey(target),
  trouble: { code: 'CHAOS_REVERT_ERROR' as const, reason: left, target: target.id },
  remaining,
})

type Left = Extract<Restored, { left: string }>
/** `unheard`: the API server did not answer, which is no news about the target. `busy`: nor does it say much that it cannot now. */
type Attempt = Restored & { unheard?: boolean; busy?: boolean }
const patienceWith = ({ busy }: Attempt): number => (busy ? busyAfterMs : owedAfterMs)

async function attempt(target: TargetState, at: At, until: AbortSignal): Promise<Attempt> {
  const fault = heldFaultOf(at.task)
  const world = ownIo(at, until)
  CRASH: await halt('runner/reverting', at.actor.resource.name)
  try {
    await fault.revert(target, undoOf(target), world)
    CRASH: reach('runner/reverted', at.actor.resource.name)
    return await fault.proof(target, undoOf(target), world)
  } catch (error) {
    const left = `${target.id} could not be put back: ${textOf(error)}`
    const busy = error instanceof KubeError && (error.status === 429 || error.status >= 500)
    const unheard = world.signal.aborted || (error instanceof KubeError && error.status === 0)
    // What stands in the way may not matter: it is as before already.
    const known = await fault.proof(target, undoOf(target), world).catch(() => null)
    if (known && 'outcome' in known) return known
    return { left, remaining: known?.remaining ?? [], unheard, busy }
  }
}
