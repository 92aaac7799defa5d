import { reach } from '../../lib/crash.ts'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { nodeTarget } from '../../model/fault-pod-recovery.ts'
import type { TaskPlan } from '../../model/plan.ts'
import { type RunState, recordKey, type TargetState, type TaskState } from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import { isResting } from '../engine/pause.ts'
import { podAddresses } from '../faults/peers.ts'
import { NodeSession } from '../hands/node-session.ts'
import { explain, userOf } from '../run/rights.ts'
import {
  type Actor,
  type Carry,
  faultOf,
  startsAtOnce,
  stateOf,
  taskOf,
  untilAborted,
} from './actor.ts'

/** With the addresses of the pods that the fault names by labels, as they are now. */
async function paramsOf(
  task: TaskPlan,
  actor: Actor,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const peers = faultOf(actor, task).peers?.(task.params) ?? null
  if (peers === null) return task.params
  const { account, context } = actor
  const as = userOf(account)
  const of = [...new Set(stateOf(actor, task.name).targets.map(({ namespace }) => namespace))]
  const look = async (namespace: string) => {
    try {
      return [namespace, await podAddresses(peers, namespace, { kube: context.kube, as, signal })]
    } catch (error) {
      throw explain(error, account, { verb: 'list', resource: 'pods', namespace })
    }
  }
  return { ...task.params, addresses: Object.fromEntries(await Promise.all(of.map(look))) }
}

/** An armed program that nobody speaks to ends itself after the run's longest wait and this, milliseconds. */
const armedMarginMs = 600_000
/** A longer timer fires at once. */
const longestTimerMs = 2 ** 31 - 1

function orderOf(node: string, targets: TargetState[], task: TaskPlan, actor: Actor): NodeOrder {
  const { context, resource } = actor
  const state = stateOf(actor, task.name)
  const nodes = new Set(state.targets.map((t) => t.node))
  const atOnce =
    // What it is to do is not known: it puts back.
    !task.ofRecord &&
    nodes.size === 1 &&
    task.sequence === 'parallel' &&
    state.stage !== 'pending' &&
    // A pod of the runner before us may have been told to wait.
    state.pods.length === 0 &&
    startsAtOnce(task, state)
  return {
    protocol: 1,
    cluster: context.cluster,
    node,
    run: actor.state().runId,
    task: task.name,
    resource: {
      kind: resource.kind,
      namespace: resource.namespace,
      name: resource.name,
      uid: resource.uid,
    },
    fault: task.fault,
    params: task.params,
    // What joins later is told by its own order.
    targets: targets.filter((t) => t.holdMs === undefined).map(nodeTarget),
    holdMs: task.durationMs,
    start: atOnce ? 'now' : 'wait',
    attempt: 1,
    after: 0,
    armedForMs: Math.min(
      longestTimerMs,
      armedMarginMs + task.rampMs + task.durationMs * state.targets.length,
    ),
  }
}

type Emit = Parameters<Carry<Action>>[2]['emit']

/** The sessions with the fault pods of a task, one for each node; begun when first asked for. */
function sessionsOf(actor: Actor, name: string, emit: Emit): NodeSession[] {
  const sessions = actor.sessions.get(name) ?? new Map<string, NodeSession>()
  actor.sessions.set(name, sessions)
  const byNode = Map.groupBy(stateOf(actor, name).targets, (t) => t.node ?? '')
  for (const [node, targets] of byNode)
    if (!sessions.has(node)) sessions.set(node, sessionOf(node, targets, { actor, name, emit }))
  return [...sessions.values()]
}

const isEnding = ({ abort, stopped }: RunState, task: TaskState): boolean =>
  abort !== undefined ||
  stopped === true ||
  task.stopped !== undefined ||
  task.stage === 'reverting' ||
  task.stage === 'done'

function sessionOf(
  node: string,
  targets: TargetState[],
  { actor, name, emit }: { actor: Actor; name: string; emit: Emit },
): NodeSession {
  const task = taskOf(actor, name)
  const { sessions: parts, pods, warm } = actor.context
  const retain = actor.plan.cleanup === 'retain'
  return new NodeSession(
    // A pod that is to be retained is the run's own from the beginning.
    { ...parts, podOf: pods(task), retain, warm: retain ? null : warm(task) },
    {
      order: orderOf(node, targets, task, actor),
      task: () => stateOf(actor, name),
      params: (signal) => paramsOf(task, actor, signal),
      resting: () => isResting(actor.state(), stateOf(actor, name)),
      // What a task of record is to do is not known: it puts back.
      ending: () => task.ofRecord === true || isEnding(actor.state(), stateOf(actor, name)),
      emit,
      durable: actor.durable,
      stored: actor.stored,
      mayAct: actor.mayAct,
    },
  )
}

/** Less than what an idle program waits for before it ends by itself, milliseconds. */
const greetMs = 60_000

/** Keeps the fault pods of a task there and listens to them, until the task is over. */
export const attend: Carry<Extract<Action, { do: 'attend' }>> = async (action, actor, io) => {
  for (const session of sessionsOf(actor, action.task, io.emit)) session.begin()
  while (!io.signal.aborted) {
    await actor.clock.sleep(greetMs, io.signal).catch(() => {})
    if (!io.signal.aborted)
      await Promise.all(sessionsOf(actor, action.task, io.emit).map((s) => s.greet()))
  }
}

/** Tells the nodes of targets that came after their wave was sent; each is hit for a hold of its own. */
export const join: Carry<Extract<Action, { do: 'join' }>> = async (action, actor, io) => {
  // Recorded before it is touched: a runner that takes over must not take it for new.
  await actor.durable(io.signal)
  const sessions = sessionsOf(actor, action.task, io.emit)
  for (const session of sessions) session.begin()
  await Promise.all(sessions.map((s) => s.pushGo()))
  await untilAborted(io.signal)
}

/** Tells the nodes to put back what a pause ends, and again whoever is reached later. */
export const suspend: Carry<Extract<Action, { do: 'suspend' }>> = async (action, actor, io) => {
  const sessions = sessionsOf(actor, action.task, io.emit)
  for (const session of sessions) session.begin()
  await Promise.all(sessions.map((s) => s.suspend()))
  await untilAborted(io.signal)
}

/**
 * Resolves when the record says that chaos has begun, and so what the steady state was: who takes over judges none under
 * the fault, and nobody takes a node on which it holds for untouched. A pod that is yet to be made costs no wait, for its
 * name is stored together with that.
 */
async function chaosOnRecord(name: string, actor: Actor, signal: AbortSignal): Promise<void> {
  if (stateOf(actor, name).pods.length > 0) await actor.durable(signal)
}

/** One wave of a node-level fault: when all its targets are armed, all nodes are told at once. */
export const go: Carry<Extract<Action, { do: 'go' }>> = async (action, actor, io) => {
  const nodes = new Set(
    stateOf(actor, action.task)
      .targets.filter((t) => t.wave === action.wave)
      .map((t) => t.node),
  )
  const all = sessionsOf(actor, action.task, io.emit)
  const concerned = all.filter((s) => nodes.has(s.node))
  await Promise.all([
    chaosOnRecord(action.task, actor, io.signal),
    ...concerned.map((s) => s.armed(io.signal)),
  ])
  if (io.signal.aborted) return
  CRASH: reach('runner/armed', actor.resource.name)
  io.emit({ fact: 'wave-sent', task: action.task, wave: action.wave })
  CRASH: reach('runner/wave-sent', actor.resource.name)
  // That it was sent is not stored first: the targets are on record since they were chosen, and the act itself is in the node's journal.
  // Who takes over says it again, and a program that has dealt with a target does not hear it.
  await Promise.all(concerned.map((s) => s.pushGo()))
  CRASH: reach('runner/go-sent', actor.resource.name)
}

export const stop: Carry<Extract<Action, { do: 'stop' }>> = async (action, actor, io) => {
  const { targets } = action
  const concerned = new Set(
    stateOf(actor, action.task)
      .targets.filter((t) => !targets || targets.includes(recordKey(t)))
      .map(({ node }) => node),
  )
  const sessions = sessionsOf(actor, action.task, io.emit).filter((s) => concerned.has(s.node))
  for (const session of sessions) session.begin()
  await Promise.all(sessions.map((s) => s.stop(action.reason, targets)))
  CRASH: reach('runner/stop-sent', actor.resource.name)
  await untilAborted(io.signal)
}

/** Ends the fault pods of a task; what an earlier runner started is found by its recorded name. */
export const close: Carry<Extract<Action, { do: 'close' }>> = async (action, actor, io) => {
  const sessions = sessionsOf(actor, action.task, io.emit)
  try {
    CRASH: reach('runner/closing', actor.resource.name)
    await Promise.all(sessions.map((s) => s.close(io.signal)))
  } catch (error) {
    // Everything is proven by now: a pod that cannot be removed yet holds the resource, and changes no verdict.
    const task = action.task
    if (!io.signal.aborted)
      actor.log.warn({ err: error, task }, 'fault pods cannot be removed; again soon')
    return
  }
  CRASH: reach('runner/closed', actor.resource.name)
  if (!io.signal.aborted) io.emit({ fact: 'closed', task: action.task })
}
