import { pods, resourcePath } from '../../lib/kube/paths.ts'
import { ChaosError } from '../../model/errors.ts'
import type { TaskPlan } from '../../model/plan.ts'
import type { TargetState } from '../../model/state.ts'
import type { Action } from '../engine/decide.ts'
import type { Pod } from '../hands/pod-cache.ts'
import { type Actor, type Carry, taskOf } from './actor.ts'

type Ready = Pod & { status?: { conditions?: { type: string; status: string }[] } }
const isReady = (pod: Ready | undefined): boolean =>
  pod?.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false

type Limits = NonNullable<TaskPlan['healthCheck']>

/** The default health check: every target is Running and Ready within the timeout, looked at every delay. */
export async function waitHealthy(
  targets: Pick<TargetState, 'namespace' | 'name'>[],
  { delayMs, timeoutMs }: Limits,
  { actor, signal }: { actor: Actor; signal: AbortSignal },
): Promise<void> {
  const { kube, clock } = actor.context
  const end = clock.now() + timeoutMs
  for (;;) {
    const seen = await Promise.all(
      targets.map(async (t) => ({
        target: t,
        pod: await kube.find<Ready>(
          resourcePath({ ...pods, namespace: t.namespace, name: t.name }),
          {
            signal,
          },
        ),
      })),
    )
    const sick = seen.filter(({ pod }) => !isReady(pod)).map(({ target }) => target.name)
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
