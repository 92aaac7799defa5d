import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { ChaosError } from '../../model/errors.ts'
import type { FaultDefinition } from '../../model/fault.ts'
import type { Plan, TaskPlan } from '../../model/plan.ts'
import type { ProbePlan } from '../../model/probe.ts'
import { leastBytes } from '../../model/snapshot.ts'
import {
  isEnded,
  type RunState,
  recordKey,
  type TargetState,
  type TaskState,
} from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import type { FactBody } from '../engine/fact.ts'
import type { NodeSession } from '../hands/node-session.ts'
import type { ProbeIo } from '../probes/probe-io.ts'
import type { RunnerContext } from '../run/context.ts'
import type { Resource } from '../run/resource.ts'
import type { Account } from '../run/rights.ts'

/** What the actions of one run work with. */
export type Actor = {
  context: RunnerContext
  clock: Clock
  log: Log
  plan: Plan
  resource: Resource
  account: Account
  /** of the whole run: outlives the wish for a single action */
  signal: AbortSignal
  state(): RunState
  /** bytes that status has for the record of the run */
  room: number
  /** resolves when all facts so far are stored in the resource's status: the gate before every act */
  durable(signal: AbortSignal): Promise<void>
  stored(signal: AbortSignal): Promise<void>
  /** resolves while nobody else can have taken the run over; asked right before every act through the API */
  mayAct(signal: AbortSignal): Promise<void>
  /** resolves when the account exists; asked once per run */
  accountExists(signal: AbortSignal): Promise<void>
  probes: ReadonlyMap<string, readonly ProbePlan[]>
  probeIo(task: TaskPlan): ProbeIo
  /** hides the secrets of the run's probes in what is told of them */
  mask(text: string): string
  /** from which version a struck target can be followed, by target id; lost with the runner, then it is looked up */
  since: Map<string, string>
  /** strikes of this runner, by task and wave */
  strikes: Map<string, Strike>
  /** acts on one target exclude each other: a revert waits until the act that it undoes has ended */
  alone(key: string, work: () => Promise<void>): Promise<void>
  /** held targets, by the key of their lock: that no act on them is of unknown outcome, and when the effect was seen last */
  holds: Map<string, { sure: boolean; seenAt?: number }>
  /** fault pods of a task by node */
  sessions: Map<string, Map<string, NodeSession>>
  /** all that the selection finds running now, whatever the share */
  presentTargets(
    task: TaskPlan,
    signal: AbortSignal,
  ): Promise<Omit<TargetState, 'wave' | 'state'>[]>
  findTargets(task: TaskPlan, wave: number, signal: AbortSignal): Promise<TargetState[]>
}

/** API calls of one wave that are under way at the same time. */
export const atOnce = 20

/** What a strike has begun to hit, and when no call of it is under way any more. */
export type Strike = { begun: Set<string>; ended: Promise<void> }

export type Carry<A extends Action> = (
  action: A,
  actor: Actor,
  io: { emit(fact: FactBody): void; signal: AbortSignal },
) => Promise<void>

export function taskOf(actor: Actor, name: string): TaskPlan {
  const task = actor.plan.tasks.find((t) => t.name === name)
  if (!task) throw new Error(`the plan has no task ${name}`)
  return task
}

export function stateOf(actor: Actor, name: string): TaskState {
  const task = actor.state().tasks.find((t) => t.name === name)
  if (!task) throw new Error(`the run has no task ${name}`)
  return task
}

export function faultOf(actor: Pick<Actor, 'context'>, task: TaskPlan): FaultDefinition {
  const fault = actor.context.faults[task.fault]
  if (!fault) throw new Error(`fault ${task.fault} is not in the catalogue`)
  return fault
}

/** Open records that one task may have; CRDs say the same. */
const maxOpen = 200

/** Without a record nothing is done to a target: throws when status has no room for these, new or as they are now. */
export function mustFit(
  actor: Pick<Actor, 'state' | 'room'>,
  name: string,
  records: TargetState[],
) {
  const run = actor.state()
  const keyOf = (target: TargetState): string => `${target.wave} ${recordKey(target)}`
  const keys = new Set(records.map(keyOf))
  const task = run.tasks.find((t) => t.name === name)
  const others = (task?.targets ?? []).filter((t) => !keys.has(keyOf(t)))
  // By its records a dynamic task knows whom it has hit already: none of them may go.
  const open = others.filter((t) => task?.dynamic || !isEnded(t)).length
  const before = open > 0 ? `, and ${open} of earlier rounds still count` : ''
  const refuse = (why: string): never => {
    throw new ChaosError({
      code: 'TARGET_SELECTION_ERROR',
      reason: `task ${name} would hit ${records.length} targets at once${before}; ${why}: select fewer (PODS_AFFECTED_PERC) or split the task`,
    })
  }
  if (open + records.length > maxOpen) refuse(`status keeps the records of ${maxOpen}`)
  const tasks = run.tasks.map((t) =>
    t.name === name ? { ...t, targets: [...others, ...records] } : t,
  )
  const bytes = leastBytes({ ...run, tasks })
  if (bytes > actor.room)
    refuse(`with their records status would take ${bytes} bytes, and ${actor.room} is all it has`)
}

/** The next wave starts at once: nothing is waited for between preparation and chaos. */
export const startsAtOnce = (task: TaskPlan, state: TaskState): boolean =>
  task.rampMs === 0 &&
  task.healthCheck === null &&
  !state.probes.some((p) => p.mode === 'SOT' || p.mode === 'Edge')

/** Resolves when the signal is aborted. */
export const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
