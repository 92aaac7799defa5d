import PQueue from 'p-queue'
import type { TargetState } from '../../model/state.ts'
import type { Action } from '../engine/decide.ts'
import { type Carry, stateOf, taskOf } from './actor.ts'
import {
  type At,
  asAccount,
  atOnce,
  failedFact,
  heldFaultOf,
  lockOf,
  markOf,
  notSeen,
  undoOf,
} from './held.ts'
import { putBack } from './restore.ts'

/** Pause between two looks for an effect, milliseconds. */
const lookMs = 100

type Io = Parameters<Carry<Action>>[2]

/** One wave of an API-level fault that is held: plan all, record durably, then act on all. */
export const inject: Carry<Extract<Action, { do: 'inject' }>> = async (action, actor, io) => {
  const at = { task: taskOf(actor, action.task), actor }
  const ofWave = () => stateOf(actor, action.task).targets.filter((t) => t.wave === action.wave)
  if (!(await plan(ofWave(), at, io))) return
  await actor.durable(io.signal)
  const pool = new PQueue({ concurrency: atOnce })
  const planned = ofWave().filter((t) => t.state === 'targeted' && t.undo)
  await pool.addAll(
    planned.map((t) => () => actor.alone(lockOf(at.task, t.id), () => injectOne(t, at, io))),
  )
  if (!io.signal.aborted) io.emit({ fact: 'wave-sent', task: action.task, wave: action.wave })
}

/** Tells the undo record of every target; false when one of them cannot be hit: then none is. */
async function plan(wave: TargetState[], at: At, io: Io): Promise<boolean> {
  const { task, actor } = at
  const fault = heldFaultOf(task)
  const planOne = async (target: TargetState) => {
    const { params, durationMs } = task
    const asked = { params: params as never, durationMs, mark: markOf(at, target) }
    try {
      return { target, undo: await fault.plan(target, asked, asAccount(actor, io.signal)) }
    } catch (error) {
      return { target, error }
    }
  }
  const pool = new PQueue({ concurrency: atOnce })
  const open = wave.filter((t) => t.state === 'targeted' && !t.undo)
  const results = await pool.addAll(open.map((target) => () => planOne(target)))
  if (io.signal.aborted) return false
  const failed = results.filter((r) => 'error' in r)
  for (const { target, error } of failed) io.emit(failedFact(at, target, error))
  if (failed.length > 0) return false
  for (const r of results)
    if ('undo' in r)
      io.emit({ fact: 'planned', task: task.name, target: r.target.id, undo: r.undo })
  return true
}

async function injectOne(target: TargetState, at: At, io: Io): Promise<void> {
  const { task, actor } = at
  const fault = heldFaultOf(task)
  const limit = AbortSignal.timeout(fault.injectMs(task.params as never))
  const signal = AbortSignal.any([io.signal, limit])
  if (signal.aborted) return
  try {
    await fault.inject(target, undoOf(target), asAccount(actor, signal))
    const evidence = await seen(target, at, signal)
    const endsAt = actor.clock.now() + task.durationMs
    io.emit({ fact: 'injected', task: task.name, target: target.id, evidence, endsAt })
  } catch (error) {
    // Ended early: whoever ended it has the target put back, and waits for us.
    if (io.signal.aborted) return
    await putBack(target, at, io)
    const why = limit.aborted ? notSeen(task, target, error) : error
    if (!io.signal.aborted) io.emit(failedFact(at, target, why))
  }
}

async function seen(target: TargetState, at: At, signal: AbortSignal): Promise<string> {
  const { kube } = at.actor.context
  for (;;) {
    const evidence = await heldFaultOf(at.task).verify(target, undoOf(target), { kube, signal })
    if (evidence !== null) return evidence
    await at.actor.clock.sleep(lookMs, signal)
  }
}
