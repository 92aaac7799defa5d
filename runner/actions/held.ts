import { createHash } from 'node:crypto'
import { ChaosError } from '../../model/errors.ts'
import type { TaskPlan } from '../../model/plan.ts'
import { recordKey, type TargetState } from '../../model/state.ts'
import { holdLeft } from '../engine/pause.ts'
import { kubeFaults } from '../faults/index.generated.ts'
import type { HeldFault, KubeFaultIo } from '../faults/kube-fault.ts'
import type { Holder, Slot } from '../hands/slots.ts'
import { userOf } from '../run/rights.ts'
import type { Actor } from './actor.ts'

export type Held = HeldFault<never, Record<string, unknown>>

/** One task and who acts for it. */
export type At<A extends Hand = Hand> = { task: TaskPlan; actor: A }
/** What acting on a held target needs of an Actor. */
export type Hand = Pick<Actor, 'context' | 'clock' | 'resource' | 'account' | 'holds' | 'state'>

export function heldFaultOf(task: TaskPlan): Held {
  const fault = kubeFaults[task.fault]
  if (fault?.lasts !== 'while-held') throw new Error(`fault ${task.fault} holds nothing`)
  return fault as unknown as Held
}

/** How long a target is held, milliseconds. */
export const holdMsOf = ({ task, actor }: At, target: TargetState): number =>
  target.holdMs === undefined ? task.durationMs : Math.max(1, holdLeft(target, actor.clock.now()))

/** The undo record as the fault wrote it. */
export const undoOf = (target: TargetState) => (target.undo ?? {}) as never

/** With the rights of the experiment's account. */
export const asAccount = (actor: Hand, signal: AbortSignal): KubeFaultIo => ({
  kube: actor.context.kube,
  as: userOf(actor.account),
  signal,
})

/** The same for whoever carries the run on, and another for each run, task, record and wave. */
export const markOf = ({ task, actor }: At, target: TargetState): string =>
  createHash('sha256')
    .update([actor.state().runId, task.name, recordKey(target), target.wave].join('\n'))
    .digest('hex')
    .slice(0, 16)

/** What a target needs for itself alone, and who this run is for others. */
export function slotsOf({ task }: At, target: TargetState): Slot[] {
  // Not known by name any more, they are all given back at the end of the run.
  if (task.ofRecord) return []
  const names = heldFaultOf(task).slots(target, task.params as never)
  return names.map((what) => ({ uid: target.uid, what }))
}
export const holderOf = ({ task, actor }: At, target: TargetState): Holder => ({
  resource: actor.resource,
  runId: actor.state().runId,
  task: task.name,
  target: recordKey(target),
})
export const slotsIn = ({ actor }: At, signal: AbortSignal) => ({
  kube: actor.context.kube,
  namespace: actor.context.namespace,
  signal,
})

/** Names the key under which acts on a target exclude each other. */
export const lockOf = (task: TaskPlan, target: string): string => `${task.name}\n${target}`

export const notSeen = (task: TaskPlan, target: TargetState, cause: unknown): ChaosError =>
  new ChaosError(
    {
      code: 'EFFECT_NOT_SEEN',
      target: target.id,
      reason: `${task.faultWritten} had no full effect on ${target.id} within ${heldFaultOf(task).injectMs(task.params as never) / 1000} s (${textOf(cause)}); it was put back`,
    },
    cause,
  )

export const textOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown)
