import type { Plan } from './plan.ts'
import type { RunState, TaskState } from './state.ts'
import { judgeRun, judgeTask } from './verdict.ts'
import {
  type ExecutionData,
  type HelperPod,
  type K8sTaskNode,
  nodeKey,
  type RunPhase,
  type StepsNode,
  streamId,
  unixSeconds,
} from './wire/kserver.ts'

type Context = { plan: Plan; run: RunState }

const keysOf = (plan: Plan, step: number): string[] | null =>
  plan.steps[step]?.map((task) => nodeKey(plan.name, task)) ?? null

/** Fault pods write no log of their own: their lines are in the log of the task. */
const helpers = (task: TaskState, { run }: Context): HelperPod[] | null =>
  task.pods.length === 0
    ? null
    : task.pods.map((name) => ({ name, logStreamID: streamId(run.runId, task.name) }))

function taskNode(task: TaskState, context: Context): K8sTaskNode {
  const { plan, run } = context
  const { phase, verdict, probeSuccessPercentage, errorCode, failStep } = judgeTask(task, run)
  const step = plan.steps.findIndex((names) => names.includes(task.name))
  const wirePhase: RunPhase = phase
  return {
    name: task.name,
    phase: wirePhase,
    message: failStep,
    startedAt: unixSeconds(task.startedAt),
    finishedAt: unixSeconds(task.finishedAt),
    children: keysOf(plan, step + 1),
    type: 'K8sTask',
    chaosData: {
      namespace: plan.namespace,
      experimentName: task.fault,
      experimentStatus: wirePhase,
      lastUpdatedAt: unixSeconds(
        task.finishedAt ?? task.stageAt ?? task.startedAt ?? run.startedAt,
      ),
      experimentVerdict: verdict,
      probeSuccessPercentage,
      failStep,
      taskDefinitionCR: '',
      errorCode,
      streamID: task.startedAt === undefined ? '' : streamId(run.runId, task.name),
      helperPodDetails: helpers(task, context),
    },
  }
}

/** The node graph that kserver is told: every task is in it from the first snapshot on. */
export function executionDataOf(
  plan: Plan,
  run: RunState,
  eventType: ExecutionData['eventType'],
): ExecutionData {
  const { wirePhase, message } = judgeRun(plan.dialect, run)
  const [startedAt, finishedAt] = [unixSeconds(run.startedAt), unixSeconds(run.finishedAt)]
  const root: StepsNode = {
    name: plan.name,
    phase: wirePhase,
    message,
    startedAt,
    finishedAt,
    children: keysOf(plan, 0) ?? [],
    type: 'Steps',
  }
  const context: Context = { plan, run }
  const tasks = run.tasks.map((task): [string, K8sTaskNode] => [
    nodeKey(plan.name, task.name),
    taskNode(task, context),
  ])
  return {
    workflowType: 'events',
    eventType,
    namespace: plan.namespace,
    name: plan.name,
    creationTimestamp: startedAt,
    phase: wirePhase,
    message,
    startedAt,
    finishedAt,
    nodes: { [plan.name]: root, ...Object.fromEntries(tasks) },
    executedBy: '',
  }
}
