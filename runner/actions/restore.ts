import { KubeError } from '../../lib/kube/errors.ts'
import type { TargetState } from '../../model/state.ts'
import type { Action } from '../engine/decide.ts'
import { isEnded } from '../engine/reduce.ts'
import type { Restored } from '../faults/kube-fault.ts'
import { type Carry, stateOf, taskOf } from './actor.ts'
import { type At, heldFaultOf, lockOf, textOf, undoOf } from './held.ts'

/** First and longest pause between two attempts to put a target back, milliseconds. */
const againMs = 200
const againLimitMs = 5000
/** One attempt to put back and prove, milliseconds. */
const attemptMs = 30_000
/** What is not put back by then is called owed; until then the API server may only have been busy, milliseconds. */
const owedAfterMs = 3000
/**
 * An act whose answer was lost may still reach the API server after the revert: what was never seen to be
 * injected is looked at once more after this, milliseconds.
 */
const lateActMs = 1500

type Io = Parameters<Carry<Action>>[2]
type Done = Extract<Restored, { outcome: unknown }>

/** Puts one target back and proves it, for as long as it takes. */
export const restore: Carry<Extract<Action, { do: 'restore' }>> = async (action, actor, io) => {
  const at = { task: taskOf(actor, action.task), actor }
  const look = () => stateOf(actor, action.task).targets.findLast((t) => t.id === action.target)
  // An act that is under way ends first: it was told to when the wish for it ended.
  await actor.alone(lockOf(at.task, action.target), async () => {
    const target = look()
    if (!target || isEnded(target) || io.signal.aborted) return
    await tellLost(target, at, io)
    const done = await putBack(target, at, io)
    if (!done || io.signal.aborted) return
    const heldMs = target.injectedAt === undefined ? 0 : actor.clock.now() - target.injectedAt
    if (done.outcome === 'changedElsewhere')
      io.emit({ fact: 'said', task: action.task, level: 'warn', text: `[Revert]: ${done.proof}` })
    io.emit({ fact: 'reverted', task: action.task, target: target.id, ...done, heldMs })
  })
}

/** An effect that somebody else has ended was cut short; since when is not known, only that it was by now. */
async function tellLost(target: TargetState, { task, actor }: At, io: Io): Promise<void> {
  if (target.state !== 'injected') return
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(attemptMs)])
  const world = { kube: actor.context.kube, signal }
  // An API server that does not answer says nothing about the effect.
  const evidence = await heldFaultOf(task)
    .verify(target, undoOf(target), world)
    .catch((error: unknown) => textOf(error))
  if (evidence !== null || io.signal.aborted) return
  const heldMs = actor.clock.now() - (target.injectedAt ?? actor.clock.now())
  const reason = 'when the hold ended, the effect was no longer there: somebody else has undone it'
  io.emit({ fact: 'lost', task: task.name, target: target.id, reason, heldMs })
}

/** Reverts and proves with growing pauses; says once what is left. Null when the signal came first. */
export async function putBack(target: TargetState, at: At, io: Io): Promise<Done | null> {
  const { clock } = at.actor
  const from = clock.now()
  const pause = (ms: number) => clock.sleep(ms, io.signal).catch(() => {})
  let told = ''
  let doubtful = target.state === 'targeted'
  for (let waitMs = againMs; !io.signal.aborted; waitMs = Math.min(waitMs * 2, againLimitMs)) {
    const result = await attempt(target, at, io.signal)
    if ('outcome' in result) {
      if (!doubtful) return result
      doubtful = false
      await pause(lateActMs)
      continue
    }
    if (io.signal.aborted) return null
    if (!result.unheard && result.left !== told && clock.now() - from >= owedAfterMs) {
      told = result.left
      const trouble = {
        code: 'CHAOS_REVERT_ERROR' as const,
        reason: result.left,
        target: target.id,
      }
      const { remaining } = result
      io.emit({
        fact: 'revert-failed',
        task: at.task.name,
        target: target.id,
        trouble,
        remaining,
      })
    }
    await pause(waitMs)
  }
  return null
}

/** `unheard`: the API server did not answer, which is no news about the target. */
type Attempt = Restored & { unheard?: boolean }

async function attempt(
  target: TargetState,
  { task, actor }: At,
  until: AbortSignal,
): Promise<Attempt> {
  const fault = heldFaultOf(task)
  const signal = AbortSignal.any([until, AbortSignal.timeout(attemptMs)])
  const world = { kube: actor.context.kube, signal }
  try {
    await fault.revert(target, undoOf(target), world)
    return await fault.proof(target, undoOf(target), world)
  } catch (error) {
    const left = `${target.id} could not be put back: ${textOf(error)}`
    const unheard = error instanceof KubeError && error.status === 0
    // What stands in the way may not matter: it is as before already.
    const known = await fault.proof(target, undoOf(target), world).catch(() => null)
    if (known && 'outcome' in known) return known
    return { left, remaining: known?.remaining ?? [], unheard }
  }
}
