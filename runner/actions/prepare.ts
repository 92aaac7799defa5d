import { halt, reach } from '../../lib/crash.ts'
import { troubleOf } from '../../model/errors.ts'
import type { TaskPlan } from '../../model/plan.ts'
import type { TargetState } from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import { mayExec } from '../run/rights.ts'
import {
  type Actor,
  type Carry,
  faultOf,
  mustFit,
  startsAtOnce,
  stateOf,
  taskOf,
  untilAborted,
} from './actor.ts'
import { lookAround, mustBeAllowed } from './guard.ts'
import { waitHealthy } from './health.ts'

const fatalCodes = new Set(['MISSING_ACCOUNT', 'UNKNOWN_PROBE'])

/** Looks whether everything that the task needs is there, and chooses its targets. */
export const prepare: Carry<Extract<Action, { do: 'prepare' }>> = async (action, actor, io) => {
  const task = taskOf(actor, action.task)
  warmProbes(task, actor)
  try {
    CRASH: reach('runner/choosing', actor.resource.name)
    const [{ found, targets }] = await Promise.all([
      choose(task, actor, io.signal),
      actor.accountExists(io.signal),
      mayReachNodes(task, actor, io.signal),
    ])
    const sight = await lookAround(task, found, { actor, signal: io.signal })
    // Here and not earlier: tasks that are prepared side by side share the room.
    mustBeAllowed(task, found, { actor, sight })
    mustFit(actor, task.name, targets)
    CRASH: await halt('runner/chosen', actor.resource.name)
    io.emit({ fact: 'prepared', task: task.name, targets })
  } catch (error) {
    if (io.signal.aborted) return
    // A look ahead that fails says nothing: the task is prepared again when its turn comes.
    if (action.early) return untilAborted(io.signal)
    const trouble = await preferAccount(error, actor, io.signal)
    const fatal = fatalCodes.has(trouble.code)
    io.emit({ fact: 'prepare-failed', task: task.name, trouble, fatal })
  }
}

/** The pod of command probes starts while targets are chosen, not when the first command is due. */
function warmProbes(task: TaskPlan, actor: Actor): void {
  const commands = (actor.probes.get(task.name) ?? []).filter((p) => p.type === 'cmdProbe')
  if (commands.length > 0) actor.probeIo(task).commands.warm(commands.map((p) => p.inputs))
}

/** A missing account also shows as a missing right; the account is the better answer. */
async function preferAccount(error: unknown, actor: Actor, signal: AbortSignal) {
  try {
    await actor.accountExists(signal)
    return troubleOf(error, 'TARGET_SELECTION_ERROR')
  } catch (missing) {
    return troubleOf(missing)
  }
}

/** Pods are chosen in the namespaces of the selection only, so the right is asked for while they are looked up. */
async function mayReachNodes(task: TaskPlan, actor: Actor, signal: AbortSignal): Promise<void> {
  if (faultOf(actor, task).hands !== 'node') return
  const namespaces = new Set(task.selection.workloads.map((w) => w.namespace))
  const { kube } = actor.context
  await Promise.all(
    [...namespaces].map((namespace) => mayExec(kube, actor.account, { namespace, signal })),
  )
}

/** Who would be hit now, and what of that is recorded beforehand. */
type Choice = { found: TargetState[]; targets: TargetState[] }

async function choose(task: TaskPlan, actor: Actor, signal: AbortSignal): Promise<Choice> {
  const fault = faultOf(actor, task)
  const found = await actor.findTargets(task, 0, signal)
  if (task.healthCheck) await waitHealthy(found, task.healthCheck, { actor, signal })
  // What strikes chooses at its moment, among those that are there then.
  if (fault.lasts === 'instant')
    return { found, targets: startsAtOnce(task, stateOf(actor, task.name)) ? found : [] }
  // In series each target is a wave of its own.
  const inSeries = task.sequence === 'serial'
  return { found, targets: inSeries ? found.map((t, wave) => ({ ...t, wave })) : found }
}
