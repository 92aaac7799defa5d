import { isForbidden } from '../../lib/kube/errors.ts'
import { undoByHand } from '../../model/abandon.ts'
import { ChaosError, type ErrorCode, type Trouble } from '../../model/errors.ts'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { mayBeOpen } from '../../model/fault-pod-recovery.ts'
import { podRefusalAdvice } from '../../model/pod-refusal.ts'
import { isEnded, recordKey, type TargetState, type TaskState } from '../../model/state.ts'
import type { FactBody } from '../engine/fact.ts'

/** The Node object has been deleted: what was held there cannot be asked after any more. */
export class NodeGone extends Error {
  constructor(node: string) {
    super(`node ${node} is no longer in the cluster`)
    this.name = 'NodeGone'
  }
}

type Concern = {
  order: NodeOrder
  task: TaskState
  /** false: it is certain that no program of this task has ever run on the node */
  mayHaveRun: boolean
  now: number
}

/** Targets of one node about which something is still to come. */
export const openOn = (node: string, task: TaskState): TargetState[] =>
  task.targets.filter((t) => t.node === node && !isEnded(t))

/** What a fault pod that cannot be had means for its targets: not injected, or owed. */
export function factsOfTrouble(code: ErrorCode, reason: string, concern: Concern): FactBody[] {
  const { order, task, mayHaveRun } = concern
  return openOn(order.node, task).flatMap((target): FactBody[] => {
    const trouble: Trouble = { code, reason, target: target.id }
    const told = { task: task.name, target: recordKey(target), trouble }
    if (!mayHaveRun || !mayBeOpen(target, task)) return [{ fact: 'inject-failed', ...told }]
    if (target.state === 'owed') return []
    return [{ fact: 'revert-failed', ...told, remaining: [undoByHand(order)] }]
  })
}

/** What is held ends by itself at its deadline: until so long after it, nothing is owed, milliseconds. */
const afterDeadlineMs = 3000

/** The same for a program that runs but cannot be spoken to: what it holds in time is not owed yet. */
export function factsOfSilence(reason: string, concern: Concern): FactBody[] {
  const { order, task, now } = concern
  const held = ({ state, endsAt = 0 }: TargetState): boolean =>
    state === 'injected' && now < endsAt + afterDeadlineMs
  const targets = task.targets.filter((t) => !(t.node === order.node && held(t)))
  return factsOfTrouble('HELPER_ERROR', reason, { ...concern, task: { ...task, targets } })
}

/** Why a program could not be spoken to. A refusal is one of the product itself: the API server does not name the right. */
export function whySilent(error: unknown, namespace: string): string {
  if (isForbidden(error))
    return `the product itself may not create pods/attach in namespace ${namespace}; its role in the chart has this right: install the chart again (helm upgrade), and see who took it away`
  return error instanceof Error ? error.message : 'it does not answer'
}

/** What the end of a node means for its targets: they have gone with it. */
export function factsOfGone({ message }: NodeGone, concern: Concern): FactBody[] {
  const { order, task, mayHaveRun, now } = concern
  return openOn(order.node, task).flatMap((target): FactBody[] => {
    const told = { task: task.name, target: recordKey(target) }
    if (!mayHaveRun || !mayBeOpen(target, task)) {
      const trouble: Trouble = {
        code: 'TARGET_SELECTION_ERROR',
        reason: message,
        target: target.id,
      }
      return [{ fact: 'inject-failed', ...told, trouble, outcome: 'noLongerExists' as const }]
    }
    // it ended at the node's own deadline, if not with the node
    const end = Math.min(now, target.endsAt ?? now)
    const heldMs = Math.max(0, end - (target.injectedAt ?? end))
    const lost: FactBody[] =
      target.state === 'injected' ? [{ fact: 'lost', ...told, heldMs, reason: message }] : []
    return [
      ...lost,
      { fact: 'reverted', ...told, proof: message, outcome: 'noLongerExists' as const },
    ]
  })
}

/** No program of the task has ever run on the node: nothing was done there, nor is anything owed. */
export const factsOfNothing = ({ order, task }: Concern): FactBody[] =>
  openOn(order.node, task).map((target) => ({
    fact: 'reverted',
    task: task.name,
    target: recordKey(target),
    proof: 'nothing was injected: its fault pod never started',
    heldMs: 0,
    ...(target.state === 'owed' ? {} : { untouched: true as const }),
  }))

/** Why the pod was refused, and what is to be done. */
export function refusalOf(error: unknown, namespace: string): ChaosError {
  const said = error instanceof Error ? error.message : String(error)
  const advice = podRefusalAdvice({ said, forbidden: isForbidden(error), namespace, by: 'runner' })
  return new ChaosError(
    { code: 'HELPER_ERROR', reason: `The fault pod was refused: ${said}. ${advice}` },
    error,
  )
}
