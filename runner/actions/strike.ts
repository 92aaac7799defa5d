import PQueue from 'p-queue'
import { ChaosError, troubleOf } from '../../model/errors.ts'
import type { TaskPlan } from '../../model/plan.ts'
import type { TargetState } from '../../model/state.ts'
import type { Action } from '../engine/decide.ts'
import { kubeFaults } from '../faults/index.generated.ts'
import type { KubeFault } from '../faults/kube-fault.ts'
import { explain, userOf } from '../run/rights.ts'
import { type Actor, type Carry, faultOf, mustFit, stateOf, taskOf } from './actor.ts'

/** API calls of one wave that are under way at the same time. */
const atOnce = 20

export function kubeFaultOf(task: TaskPlan): KubeFault<never> {
  const fault = kubeFaults[task.fault]
  if (!fault) throw new Error(`fault ${task.fault} has no API-level part`)
  return fault
}

/** One wave of an API-level fault: choose (unless chosen), record durably, then act. */
export const strike: Carry<Extract<Action, { do: 'strike' }>> = async (action, actor, io) => {
  const task = taskOf(actor, action.task)
  const recorded = (): TargetState[] =>
    stateOf(actor, task.name).targets.filter((t) => t.wave === action.wave)
  if (recorded().length === 0) {
    const targets = await actor.findTargets(task, action.wave, io.signal)
    mustFit(task, stateOf(actor, task.name).targets, targets)
    io.emit({ fact: 'targeted', task: task.name, wave: action.wave, targets })
  }
  await actor.durable(io.signal)
  const open = recorded().filter((t) => t.state === 'targeted')
  if (task.sequence === 'serial') await oneByOne(open, task, actor, io)
  else {
    const pool = new PQueue({ concurrency: atOnce })
    await pool.addAll(open.map((target) => () => hit(target, task, actor, io)))
  }
  if (!io.signal.aborted) io.emit({ fact: 'wave-sent', task: task.name, wave: action.wave })
}

type Io = Parameters<typeof strike>[2]

async function oneByOne(
  targets: TargetState[],
  task: TaskPlan,
  actor: Actor,
  io: Io,
): Promise<void> {
  const state = stateOf(actor, task.name)
  const end = (state.chaosAt ?? actor.clock.now()) + task.durationMs
  const pause = faultOf(actor, task).intervalMs?.(task.params, actor.context.random) ?? 0
  for (const [i, target] of targets.entries()) {
    if (i > 0) await actor.clock.sleep(pause, io.signal)
    // What the duration has no room for is not begun.
    if (actor.clock.now() >= end)
      return io.emit({
        fact: 'inject-failed',
        task: task.name,
        target: target.id,
        trouble: {
          code: 'CUT_SHORT',
          target: target.id,
          reason: `TOTAL_CHAOS_DURATION of ${task.durationMs / 1000} s was over before ${target.id} had its turn; lengthen it or shorten CHAOS_INTERVAL`,
        },
      })
    await hit(target, task, actor, io)
  }
}

async function hit(target: TargetState, task: TaskPlan, actor: Actor, io: Io): Promise<void> {
  const { context, account } = actor
  try {
    const { evidence, since } = await kubeFaultOf(task).strike(target, task.params as never, {
      kube: context.kube,
      as: userOf(account),
      signal: io.signal,
    })
    if (since) actor.since.set(target.podUid, since)
    io.emit({ fact: 'injected', task: task.name, target: target.id, evidence })
  } catch (error) {
    if (io.signal.aborted) return
    const right = { verb: 'delete', resource: 'pods', namespace: target.namespace }
    const trouble = troubleOf(explain(error, account, right), 'CHAOS_INJECT_ERROR')
    io.emit({
      fact: 'inject-failed',
      task: task.name,
      target: target.id,
      trouble: { ...trouble, target: target.id },
    })
  }
}

/** Follows what was struck until the effect is complete, with a limit; beside the cadence of the waves. */
export const settle: Carry<Extract<Action, { do: 'settle' }>> = async (action, actor, io) => {
  const task = taskOf(actor, action.task)
  const fault = kubeFaultOf(task)
  const struck = stateOf(actor, task.name).targets.filter(
    (t) => t.wave === action.wave && t.state === 'injected',
  )
  const pool = new PQueue({ concurrency: atOnce })
  const limit = AbortSignal.timeout(fault.settleMs(task.params as never))
  const signal = AbortSignal.any([io.signal, limit])
  const follow = async (target: TargetState): Promise<void> => {
    const proof = await proofOf(target, task, actor, signal)
    if (proof) return io.emit({ fact: 'reverted', task: task.name, target: target.id, proof })
    if (io.signal.aborted) return
    const { code, message } = notSeen(target, fault.settleMs(task.params as never))
    io.emit({
      fact: 'inject-failed',
      task: task.name,
      target: target.id,
      trouble: { code, reason: message, target: target.id },
    })
  }
  await pool.addAll(struck.map((target) => () => follow(target)))
}

/** Pause before the API server is asked again after a failure, milliseconds. */
const askAgainMs = 1000

/**
 * Null when the signal came first. An API server that does not answer, or a watch that broke, is asked again:
 * what was struck is not undone by that.
 */
async function proofOf(
  target: TargetState,
  task: TaskPlan,
  actor: Actor,
  signal: AbortSignal,
): Promise<string | null> {
  const { kube, clock } = actor.context
  while (!signal.aborted) {
    const since = actor.since.get(target.podUid)
    actor.since.delete(target.podUid)
    const from = since ? { since } : {}
    const world = { kube, as: userOf(actor.account), signal, ...from }
    try {
      return await kubeFaultOf(task).settled(target, task.params as never, world)
    } catch (error) {
      if (signal.aborted) return null
      actor.log.warn({ err: error, target: target.id }, 'a target could not be looked at; again')
      await clock.sleep(askAgainMs, signal).catch(() => {})
    }
  }
  return null
}

const notSeen = (target: TargetState, ms: number): ChaosError =>
  new ChaosError({
    code: 'EFFECT_NOT_SEEN',
    target: target.id,
    reason: `${target.id} was still there ${ms / 1000} s after its deletion was accepted; look for a finalizer that holds it`,
  })
