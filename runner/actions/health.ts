import {
  deployments,
  nodes,
  pods,
  type ResourceKind,
  replicaSets,
  resourcePath,
  statefulSets,
} from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { ChaosError } from '../../model/errors.ts'
import type { TaskPlan } from '../../model/plan.ts'
import type { TargetState } from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import { type Actor, type Carry, taskOf } from './actor.ts'

type Ready = KubeObject & {
  spec?: { replicas?: number }
  status?: { conditions?: { type: string; status: string }[]; readyReplicas?: number }
}
const saysReady = ({ status }: Ready): boolean =>
  status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false
const hasAll = ({ spec, status }: Ready): boolean =>
  (status?.readyReplicas ?? 0) >= (spec?.replicas ?? 1)

/** What a healthy target of each kind looks like. */
const healthy: Record<string, { of: ResourceKind; is(object: Ready): boolean }> = {
  Pod: { of: pods, is: saysReady },
  Node: { of: nodes, is: saysReady },
  Deployment: { of: deployments, is: hasAll },
  StatefulSet: { of: statefulSets, is: hasAll },
  ReplicaSet: { of: replicaSets, is: hasAll },
}

async function isHealthy(target: Checked, actor: Actor, signal: AbortSignal): Promise<boolean> {
  const known = healthy[target.kind]
  if (!known) return true
  const { namespace, name } = target
  const object = await actor.context.kube.find<Ready>(
    resourcePath({ ...known.of, namespace, name }),
    { signal },
  )
  return object !== undefined && known.is(object)
}

type Checked = Pick<TargetState, 'kind' | 'namespace' | 'name'>

type Limits = NonNullable<TaskPlan['healthCheck']>

/** The default health check: every target is Running and Ready within the timeout, looked at every delay. */
export async function waitHealthy(
  targets: Checked[],
  { delayMs, timeoutMs }: Limits,
  { actor, signal }: { actor: Actor; signal: AbortSignal },
): Promise<void> {
  const { clock } = actor.context
  const end = clock.now() + timeoutMs
  for (;;) {
    const seen = await Promise.all(
      targets.map(async ({ name, ...t }) => ({
        name,
        well: await isHealthy({ name, ...t }, actor, signal),
      })),
    )
    const sick = seen.filter(({ well }) => !well).map(({ name }) => name)
    if (sick.length === 0) return
    if (clock.now() >= end)
      throw new ChaosError({
        code: 'STATUS_CHECKS_ERROR',
        reason: `not Ready within ${timeoutMs / 1000} s: ${sick.slice(0, 10).join(', ')}; kubectl describe them, or leave defaultHealthCheck off`,
      })
    await clock.sleep(Math.max(100, delayMs), signal)
  }
}

/** The health check after chaos: the pods that the selection finds now must be Ready. */
export const check: Carry<Extract<Action, { do: 'check' }>> = async (action, actor, io) => {
  const task = taskOf(actor, action.task)
  if (!task.healthCheck) return
  const everything: TaskPlan = { ...task, selection: { ...task.selection, pods: [], share: 'all' } }
  const { clock } = actor.context
  const end = clock.now() + task.healthCheck.timeoutMs
  for (;;) {
    try {
      const found = await actor.findTargets(everything, 0, io.signal)
      await waitHealthy(found, { ...task.healthCheck, timeoutMs: 0 }, { actor, signal: io.signal })
      return io.emit({ fact: 'checked', task: task.name })
    } catch (error) {
      if (io.signal.aborted || clock.now() >= end) throw error
      await clock.sleep(Math.max(100, task.healthCheck.delayMs), io.signal)
    }
  }
}
