import { troubleOf } from '../../model/errors.ts'
import type { TaskPlan } from '../../model/plan.ts'
import { recordKey, type TargetState } from '../../model/state.ts'
import type { FactBody } from '../engine/fact.ts'
import { explain } from '../run/rights.ts'
import { type Actor, faultOf } from './actor.ts'

/** The fact that a target was not injected; a refusal of the API server becomes the right that is missing. */
export function failedFact(
  { task, actor }: { task: TaskPlan; actor: Pick<Actor, 'context' | 'account'> },
  target: TargetState,
  error: unknown,
): Extract<FactBody, { fact: 'inject-failed' }> {
  const { resource, verbs } = faultOf(actor, task).permissions[0] ?? { resource: '', verbs: [] }
  const right = { verb: verbs[0] ?? 'act on', resource, namespace: target.namespace }
  const trouble = troubleOf(explain(error, actor.account, right), 'CHAOS_INJECT_ERROR')
  return {
    fact: 'inject-failed',
    task: task.name,
    target: recordKey(target),
    trouble: { ...trouble, target: target.id },
  }
}
