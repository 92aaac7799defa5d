import type { TaskPlan } from '../../model/plan.ts'
import { type RunState, recordKey, type TaskState } from '../../model/state.ts'
import type { At } from '../actions/held.ts'
import { putBack } from '../actions/restore.ts'
import type { FactBody } from '../engine/fact.ts'
import { mayBeHeld, reduce } from '../engine/reduce.ts'
import { freeAllSlots } from '../hands/slots.ts'
import type { RunnerContext } from './context.ts'
import type { Resource } from './resource.ts'

type Parts = { context: RunnerContext; resource: Resource }

/**
 * Puts back what API-level faults still hold for a run whose document is gone: the undo records say all that is
 * needed. Resolves with the state after it; throws the signal's reason when that comes first.
 */
export async function putBackWithoutPlan(
  state: RunState,
  { context, resource }: Parts,
  signal: AbortSignal,
): Promise<RunState> {
  let now = state
  const emit = (fact: FactBody): void => {
    now = reduce(now, { at: context.clock.now(), ...fact })
  }
  const account = { namespace: resource.namespace, name: context.defaultAccount }
  const { clock } = context
  const actor = { context, clock, resource, account, holds: new Map(), state: () => now }
  for (const task of state.tasks) {
    const fault = faultIdOf(task, context)
    if (fault === null) continue
    const at: At = { task: { name: task.name, fault } as TaskPlan, actor }
    for (const target of task.targets.filter(mayBeHeld)) {
      const done = await putBack(target, at, { emit, signal })
      if (!done) throw signal.reason
      const { at: endedAt, ...rest } = done
      const heldMs = target.injectedAt === undefined ? 0 : endedAt - target.injectedAt
      emit({ fact: 'reverted', task: task.name, target: recordKey(target), ...rest, heldMs })
    }
  }
  const where = { kube: context.kube, namespace: context.namespace, signal }
  await freeAllSlots({ uid: resource.uid, runId: state.runId }, where)
  return now
}

/** State keeps the name as it was written; null: nothing of it is held through the API. */
function faultIdOf({ fault: written }: TaskState, { faults }: RunnerContext): string | null {
  const known = Object.values(faults).find(({ names }) =>
    [...names.litmus, ...names.chaosplane].includes(written),
  )
  return known?.hands === 'kube' && known.lasts === 'while-held' ? known.id : null
}
