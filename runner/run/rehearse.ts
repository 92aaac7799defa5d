import type { KubeClient } from '../../lib/kube/client.ts'
import { createStatusWriter } from '../../lib/kube/status.ts'
import type { Rehearsal } from '../../model/dry-run.ts'
import { troubleOf } from '../../model/errors.ts'
import type { Plan, TaskPlan } from '../../model/plan.ts'
import { fitted, short } from '../../model/snapshot.ts'
import type { RunState, TargetState, TaskState } from '../../model/state.ts'
import { limitsOf, lookAround, mustBeAllowed } from '../actions/guard.ts'
import { spared } from '../engine/reduce.ts'
import { findTargetsOf } from '../hands/look.ts'
import type { RunnerContext } from './context.ts'
import { resolveProbes } from './resolve.ts'
import type { Experiment, Resource } from './resource.ts'
import { type Account, mayDo, missingRight, mustExist } from './rights.ts'

type Parts = {
  context: RunnerContext
  plan: Plan
  resource: Resource
  signal: AbortSignal
}
type Stage = Parts & { account: Account; troubles: ReadonlyMap<string, TaskState['trouble']> }

const maxCommands = 50
const maxTargets = 200

/** What a run would do, found out by reading and by asking for rights alone. */
export async function rehearse(born: RunState, parts: Parts): Promise<RunState> {
  const { context, plan, signal } = parts
  const account = { namespace: plan.namespace, name: plan.account ?? context.defaultAccount }
  const { troubles } = await resolveProbes(context.kube, { plan, account, signal })
  let run: RunState = { ...born, dryRun: true }
  for (const step of plan.steps) {
    for (const name of step) {
      const task = plan.tasks.find((t) => t.name === name)
      if (!task) continue
      // Tasks of one step would hold their targets at the same time.
      const after = await rehearseTask(task, run, { ...parts, account, troubles })
      run = { ...run, tasks: run.tasks.map((t) => (t.name === name ? after : t)) }
    }
    run = { ...run, tasks: run.tasks.map((t) => (step.includes(t.name) ? over(t) : t)) }
  }
  return { ...run, finishedAt: context.clock.now() }
}

const over = (task: TaskState): TaskState => ({ ...task, targets: task.targets.map(spared) })

async function rehearseTask(task: TaskPlan, run: RunState, stage: Stage): Promise<TaskState> {
  const { context, account, resource, signal } = stage
  const fault = context.faults[task.fault]
  const blank = run.tasks.find((t) => t.name === task.name)
  if (!fault || !blank) throw new Error(`the plan names ${task.fault}, which is not there`)
  const done: TaskState = { ...blank, stage: 'done', skipped: true }
  const rights = await rightsOf(task, stage)
  const rehearsal: Rehearsal = { inject: [], undo: [], rights, limits: [] }
  const failed = (error: unknown): TaskState => {
    const { reason, ...rest } = troubleOf(error, 'TARGET_SELECTION_ERROR')
    return { ...done, rehearsal, trouble: { ...rest, reason: short(reason, 2000) } }
  }
  try {
    await mustExist(context.kube, account, signal)
    const missing = rights.find((right) => !right.allowed)
    if (missing) return failed(missingRight(account, missing))
    const { hostsProduct } = context.protection
    const looking = { kube: context.kube, account, signal, hostsProduct }
    const targets = await findTargetsOf(task, 0, { ...looking, seed: run.seed })
    const actor = { context, account, resource, state: () => run }
    const sight = await lookAround(task, targets, { actor, signal })
    rehearsal.limits = limitsOf(task, targets.length, { actor, sight }).map((line) =>
      short(line, 500),
    )
    Object.assign(rehearsal, commandsFor(task, targets, fault))
    const trouble = stage.troubles.get(task.name)
    const kept = { ...done, rehearsal, targets: targets.slice(0, maxTargets) }
    if (trouble) return { ...kept, trouble }
    mustBeAllowed(task, targets, { actor, sight })
    return kept
  } catch (error) {
    signal.throwIfAborted()
    return failed(error)
  }
}

function commandsFor(
  { params, durationMs }: TaskPlan,
  targets: readonly TargetState[],
  { commands }: RunnerContext['faults'][string],
): Pick<Rehearsal, 'inject' | 'undo'> {
  const all = targets.map((target) => commands?.(params, { target, durationMs }))
  const bounded = (lines: readonly string[]): string[] =>
    [...new Set(lines)].slice(0, maxCommands).map((line) => short(line, 2000))
  return {
    inject: bounded(all.flatMap((each) => each?.inject ?? [])),
    undo: bounded(all.flatMap((each) => each?.undo ?? [])),
  }
}

/** Rights that the fault needs, in each namespace of the selection; on nodes, and for what lies on them, everywhere. */
async function rightsOf(
  { fault, selection }: TaskPlan,
  { context, account, signal }: Stage,
): Promise<Rehearsal['rights']> {
  const definition = context.faults[fault]
  const everywhere = definition?.targets === 'nodes'
  const places = everywhere ? [''] : [...new Set(selection.workloads.map((w) => w.namespace))]
  const asked = (definition?.permissions ?? []).flatMap(({ group, resource, verbs }) =>
    places.flatMap((namespace) => verbs.map((verb) => ({ group, resource, verb, namespace }))),
  )
  return Promise.all(
    asked.slice(0, 100).map(async (right) => ({
      verb: right.verb,
      resource: right.group ? `${right.resource}.${right.group}` : right.resource,
      namespace: right.namespace,
      allowed: await mayDo(context.kube, account, { ...right, signal }),
    })),
  )
}

type Written = { resource: Resource; object: Experiment; state: RunState; room: number }

/**
 * Tells it in status; true when it stands there. Left alone is what another runner has recorded since, be it the same dry
 * run or a real one. No claim and no finalizer: there is nothing to put back.
 */
export async function tellRehearsal(
  kube: KubeClient,
  { resource, object, state, room }: Written,
  signal: AbortSignal,
): Promise<boolean> {
  const { apiVersion, kind } = resource
  const fieldManager = 'chaosplane-runner'
  const writer = createStatusWriter({ client: kube, fieldManager, apiVersion, kind })
  const path = resource.path
  const compute = ({ status }: Experiment) =>
    status?.run === undefined || state.previousRunIds.includes(runIn(status).runId ?? '')
      ? { run: fitted(state, room) }
      : undefined
  const after = await writer.write({ path, object, compute }, { signal })
  const { runId, dryRun } = runIn(after?.status)
  return runId === state.runId && dryRun === true
}

const runIn = (status: Experiment['status']): Partial<RunState> => status?.run ?? {}
