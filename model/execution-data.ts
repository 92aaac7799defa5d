import type { Plan } from './plan.ts'
import type { RunState, TaskState } from './state.ts'
import { judgeRun, judgeTask } from './verdict.ts'
import {
  type ExecutionData,
  type K8sTaskNode,
  nodeKey,
  type RunPhase,
  streamId,
  unixSeconds,
} from './wire/kserver.ts'

/** ChaosExperiment phases in the words of kserver. */
const phaseOnTheWire: Record<string, RunPhase> = {
  SteadyStateChecking: 'Running',
  Completing: 'Running',
  Recovering: 'Running',
  Failed: 'Error',
  Aborted: 'Stopped',
}

/** Keys of the tasks that follow a step: each task of a step points at all tasks of the next. */
function childrenOf(plan: Plan, step: number): string[] | null {
  const next = plan.steps[step]
  return next ? next.map((task) => nodeKey(plan.name, task)) : null
}

function lastUpdate(task: TaskState, run: RunState): number {
  return task.finishedAt ?? task.stageAt ?? task.startedAt ?? run.startedAt
}

function taskNode(task: TaskState, run: RunState, plan: Plan): K8sTaskNode {
  const { phase, verdict, probeSuccessPercentage, errorCode, failStep } = judgeTask(task)
  const step = plan.steps.findIndex((names) => names.includes(task.name))
  return {
    name: task.name,
    phase,
    message: '',
    startedAt: unixSeconds(task.startedAt),
    finishedAt: unixSeconds(task.finishedAt),
    children: childrenOf(plan, step + 1),
    type: 'K8sTask',
    chaosData: {
      namespace: plan.namespace,
      experimentName: task.fault,
      experimentStatus: phase,
      lastUpdatedAt: unixSeconds(lastUpdate(task, run)),
      experimentVerdict: verdict,
      probeSuccessPercentage,
      failStep,
      taskDefinitionCR: '',
      errorCode,
      streamID: task.startedAt === undefined ? '' : streamId(run.runId, task.name),
      helperPodDetails: null,
    },
  }
}

/** The node graph that kserver gets: a projection of plan and state, the same for the same input. */
export function executionDataOf(
  plan: Plan,
  run: RunState,
  eventType: 'CREATE' | 'UPDATE',
): ExecutionData {
  const { phase, terminal, message } = judgeRun(plan.dialect, run)
  const wirePhase = phaseOnTheWire[phase] ?? (phase as RunPhase)
  const common = {
    name: plan.name,
    phase: wirePhase,
    message: terminal && wirePhase !== 'Completed' ? message : '',
    startedAt: unixSeconds(run.startedAt),
    finishedAt: unixSeconds(run.finishedAt),
  }
  const tasks = run.tasks.map((t): [string, K8sTaskNode] => [
    nodeKey(plan.name, t.name),
    taskNode(t, run, plan),
  ])
  return {
    workflowType: 'events',
    eventType,
    namespace: plan.namespace,
    creationTimestamp: unixSeconds(run.startedAt),
    ...common,
    nodes: {
      [plan.name]: { ...common, children: childrenOf(plan, 0), type: 'Steps' },
      ...Object.fromEntries(tasks),
    },
    executedBy: '',
  }
}
