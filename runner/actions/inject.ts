import PQueue from 'p-queue'
import { halt, reach } from '../../lib/crash.ts'
import { KubeError } from '../../lib/kube/errors.ts'
import { gated } from '../../lib/kube/gated.ts'
import { ChaosError } from '../../model/errors.ts'
import { recordKey, type TargetState } from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import { takeSlot } from '../hands/slots.ts'
import { type Actor, atOnce, type Carry, mustFit, stateOf, taskOf } from './actor.ts'
import { failedFact } from './failed.ts'
import {
  type At,
  asAccount,
  heldFaultOf,
  holderOf,
  holdMsOf,
  lockOf,
  markOf,
  notSeen,
  slotsIn,
  slotsOf,
  undoOf,
} from './held.ts'
import { giveBack, putBack } from './restore.ts'

/** First and longest pause between two looks for an effect, milliseconds. */
const lookMs = 100
const lookLimitMs = 1000

type Io = Parameters<Carry<Action>>[2]

const isNext = (target: TargetState): boolean => target.state === 'targeted' && !target.suspended

/** One wave of an API-level fault that is held: plan all, record durably, then act on all. */
export const inject: Carry<Extract<Action, { do: 'inject' }>> = async (action, actor, io) => {
  const at = { task: taskOf(actor, action.task), actor }
  const ofWave = () => stateOf(actor, action.task).targets.filter((t) => t.wave === action.wave)
  CRASH: reach('runner/planning', actor.resource.name)
  if (!(await plan(ofWave(), at, io))) return
  CRASH: await halt('runner/planned', actor.resource.name)
  await actor.durable(io.signal)
  CRASH: await halt('runner/plan-recorded', actor.resource.name)
  const pool = new PQueue({ concurrency: atOnce })
  const planned = ofWave().filter((t) => isNext(t) && t.undo)
  await pool.addAll(
    planned.map(
      (t) => () =>
        actor.alone(lockOf(at.task, recordKey(t)), async () => {
          // While it waited for its turn, a pause may have ended it.
          const now = ofWave().find((one) => recordKey(one) === recordKey(t))
          if (now && isNext(now)) await injectOne(now, at, io)
        }),
    ),
  )
  if (!io.signal.aborted) io.emit({ fact: 'wave-sent', task: action.task, wave: action.wave })
}

/** Tells the undo record of every target; false when one of them cannot be hit: then none is. */
async function plan(wave: TargetState[], at: At<Actor>, io: Io): Promise<boolean> {
  const { task, actor } = at
  const planOne = async (target: TargetState) => {
    try {
      return { target, undo: await planTarget(target, { wave, at }, io.signal) }
    } catch (error) {
      return { target, error }
    }
  }
  const pool = new PQueue({ concurrency: atOnce })
  const open = wave.filter((t) => isNext(t) && !t.undo)
  const results = await pool.addAll(open.map((target) => () => planOne(target)))
  const failed = results.filter((r) => 'error' in r)
  const planned = results.flatMap((r) => ('undo' in r ? [{ ...r.target, undo: r.undo }] : []))
  const giveAllBack = () => Promise.all(open.map((target) => giveBack(target, at)))
  if (failed.length > 0 || io.signal.aborted) {
    await giveAllBack()
    for (const { target, error } of io.signal.aborted ? [] : failed)
      io.emit(failedFact(at, target, error))
    return false
  }
  try {
    mustFit(actor, task.name, planned)
  } catch (error) {
    await giveAllBack()
    throw error
  }
  for (const target of planned) {
    const record = recordKey(target)
    actor.holds.set(lockOf(task, record), { sure: true })
    io.emit({ fact: 'planned', task: task.name, target: record, undo: target.undo })
  }
  return true
}

/** What is read here must be nobody else's doing: the target's slots are taken first. */
async function planTarget(
  target: TargetState,
  { wave, at }: { wave: TargetState[]; at: At<Actor> },
  signal: AbortSignal,
) {
  const { params } = at.task
  // What this target held before a pause is only free once its end is on record.
  if (target.round) await at.actor.durable(signal)
  for (const slot of slotsOf(at, target))
    await takeSlot(slot, holderOf(at, target), slotsIn(at, signal))
  const durationMs = holdMsOf(at, target)
  const asked = { params: params as never, durationMs, mark: markOf(at, target), among: wave }
  return heldFaultOf(at.task).plan(target, asked, asAccount(at.actor, signal))
}

async function injectOne(target: TargetState, at: At<Actor>, io: Io): Promise<void> {
  const { task, actor } = at
  const fault = heldFaultOf(task)
  const limit = AbortSignal.timeout(fault.injectMs(task.params as never))
  const signal = AbortSignal.any([io.signal, limit])
  if (signal.aborted) return
  const hold = actor.holds.get(lockOf(task, recordKey(target))) ?? { sure: false }
  actor.holds.set(lockOf(task, recordKey(target)), hold)
  /** since when it may be as the fault makes it */
  let actedAt: number | undefined
  try {
    if (!hold.sure && (await wasThere(target, at, io))) return
    await actor.mayAct(signal)
    CRASH: await halt('runner/injecting', actor.resource.name)
    hold.sure = false
    actedAt = actor.clock.now()
    // A drain takes its time: a runner that was stopped meanwhile must not go on when its run is another's, or over.
    const account = asAccount(actor, signal)
    const kube = gated(account.kube, () => actor.mayAct(signal))
    await fault.inject(target, undoOf(target), { ...account, kube })
    hold.sure = true
    CRASH: reach('runner/injected', actor.resource.name)
    const evidence = await seen(target, at, signal)
    CRASH: await halt('runner/effect-seen', actor.resource.name)
    const endsAt = actor.clock.now() + holdMsOf(at, target)
    tell(target, at, { io, evidence, endsAt })
    CRASH: reach('runner/holding', actor.resource.name)
  } catch (error) {
    // A refusal is an answer: nothing of ours is still on its way.
    if (error instanceof KubeError && error.status > 0) hold.sure = true
    const wasRefused = !limit.aborted && hold.sure && error instanceof KubeError
    // Ended early: whoever ended it has the target put back, and waits for us.
    if (io.signal.aborted) return
    const done = await putBack(target, at, io)
    const why = limit.aborted ? notSeen(task, target, error) : error
    if (io.signal.aborted) return
    const isGone = done?.outcome === 'noLongerExists'
    const held = done && actedAt !== undefined && !wasRefused ? { heldMs: done.at - actedAt } : {}
    const failed = { ...failedFact(at, target, why), ...held }
    io.emit(isGone ? { ...failed, outcome: 'noLongerExists' } : failed)
    await giveBack(target, at)
  }
}

type Told = { io: Io; evidence: string; endsAt: number; at?: number }

/** The deadline stands in status alone, so it is stored at once. */
function tell(target: TargetState, { task, actor }: At<Actor>, { io, ...told }: Told): void {
  io.emit({ fact: 'injected', task: task.name, target: recordKey(target), ...told })
  void actor.durable(actor.signal).catch(() => {})
}

/** A runner before this one may have injected it and died before that was stored: then the hold counts from its plan. */
async function wasThere(target: TargetState, at: At<Actor>, io: Io): Promise<boolean> {
  const { kube } = at.actor.context
  const world = { kube, signal: io.signal }
  const there = await heldFaultOf(at.task).verify(target, undoOf(target), world)
  if ('missing' in there) return false
  const from = target.plannedAt ?? at.actor.clock.now()
  const { evidence } = there
  tell(target, at, { io, evidence, endsAt: from + holdMsOf(at, target), at: from })
  return true
}

const gone = (target: TargetState, reason: string): ChaosError =>
  new ChaosError({ code: 'TARGET_SELECTION_ERROR', reason, target: target.id })

async function seen(target: TargetState, at: At, signal: AbortSignal): Promise<string> {
  const { kube } = at.actor.context
  let missing = ''
  try {
    for (let pauseMs = lookMs; ; pauseMs = Math.min(pauseMs * 2, lookLimitMs)) {
      const look = await heldFaultOf(at.task).verify(target, undoOf(target), { kube, signal })
      if ('evidence' in look) return look.evidence
      missing = look.missing
      if (look.gone) throw gone(target, missing)
      await at.actor.clock.sleep(pauseMs, signal)
    }
  } catch (error) {
    throw signal.aborted && missing !== '' ? new Error(missing) : error
  }
}
