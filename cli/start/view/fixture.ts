import type { Plan, TaskPlan } from '../../../model/plan.ts'
import type { ProbeState, RunState, TargetState, TaskState } from '../../../model/state.ts'
import { runState, targetState, taskState } from '../../../model/testing.ts'
import type { Seen } from './model.ts'

/** Builders for the tables of the view's tests. The run starts at second 1000. */
export const at = (seconds: number): number => (1_000 + seconds) * 1000

const taskPlan = (name: string, fault: string, seconds: number): TaskPlan => ({
  name,
  fault,
  faultWritten: fault,
  params: {},
  selection: { workloads: [], pods: [], nodes: [], nodeLabel: '', container: '', share: 'one' },
  probes: [],
  durationMs: seconds * 1000,
  rampMs: 0,
  sequence: 'parallel',
  healthCheck: null,
  weight: 10,
  pods: {},
})

export const plan: Plan = {
  dialect: 'KubernetesChaosExperiment',
  namespace: 'v2',
  name: 'api-payload-test',
  uid: 'u',
  account: 'litmus',
  experimentId: '',
  runId: '',
  cleanup: 'delete',
  steps: [['del'], ['hog']],
  tasks: [taskPlan('del', 'pod-delete', 30), taskPlan('hog', 'pod-cpu-hog', 60)],
  recoveryMs: null,
  notes: [],
}

export const probe = (change: Partial<ProbeState> = {}): ProbeState => ({
  name: 'google-ping',
  type: 'httpProbe',
  mode: 'SOT',
  verdict: 'Passed',
  description: 'GET 200',
  evaluations: 1,
  ...change,
})

export const target = (pod: string, change: Partial<TargetState> = {}): TargetState =>
  targetState(`demo/${pod}`, { name: pod, uid: `uid-${pod}`, ...change })

export const task = (name: string, change: Partial<TaskState> = {}): TaskState =>
  taskState(name, { fault: name === 'del' ? 'pod-delete' : 'pod-cpu-hog', ...change })

export const run = (tasks: TaskState[], change: Partial<RunState> = {}): RunState =>
  runState(tasks, { runId: 'r1', startedAt: at(0), ...change })

export const seen = (of: RunState | null, change: Partial<Seen> = {}): Seen => ({
  kind: 'KubernetesChaosExperiment',
  namespace: 'v2',
  name: 'api-payload-test',
  phase: of ? 'Running' : '',
  verdict: of ? 'Awaited' : '',
  score: null,
  verdicts: {},
  plan,
  run: of,
  ...change,
})
