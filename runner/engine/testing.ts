import type { Plan, TaskPlan } from '../../model/plan.ts'
import type { TargetState } from '../../model/state.ts'
import { probeState, runState, targetState, taskState } from '../../model/testing.ts'
import type { FaultShape } from './view.ts'

/** Small plans and states for the tests of the engine. */
export const shapes: Record<string, FaultShape> = {
  'pod-delete': {
    hands: 'kube',
    lasts: 'instant',
    waveOffset: (task, wave) => (wave * 10_000 < task.durationMs ? wave * 10_000 : null),
  },
  'node-taint': { hands: 'kube', lasts: 'while-held', waveOffset: () => null },
  'pod-cpu-hog': { hands: 'node', lasts: 'while-held', waveOffset: () => null },
}
export const shapeOf = (fault: string): FaultShape => {
  const shape = shapes[fault]
  if (!shape) throw new Error(fault)
  return shape
}

export const taskPlan = (name: string, over: Partial<TaskPlan> = {}): TaskPlan => ({
  name,
  fault: 'pod-cpu-hog',
  faultWritten: over.fault ?? 'pod-cpu-hog',
  params: {},
  selection: {
    workloads: [{ kind: 'deployment', namespace: 'demo', names: [name], labels: '' }],
    pods: [],
    nodes: [],
    nodeLabel: '',
    container: '',
    share: 'one',
  },
  probes: [],
  durationMs: 30_000,
  rampMs: 0,
  sequence: 'parallel',
  healthCheck: null,
  weight: 10,
  pods: {},
  ...over,
})

export const planOf = (tasks: TaskPlan[], steps = tasks.map((t) => [t.name])): Plan => ({
  dialect: 'KubernetesChaosExperiment',
  namespace: 'v2',
  name: 'x',
  uid: 'u',
  account: 'litmus',
  experimentId: 'e',
  runId: '',
  cleanup: 'delete',
  steps,
  tasks,
  recoveryMs: null,
  notes: [],
})

export { probeState, runState, taskState }

/** On the usual node. */
export const target = (id: string, over: Partial<TargetState> = {}): TargetState =>
  targetState(id, { node: 'n1', ...over })
