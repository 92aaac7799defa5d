import type { ProbeState, RunState, TargetState, TaskState } from './state.ts'

/** States as they begin, for tests: each takes what it is about. */
export const taskState = (name: string, over: Partial<TaskState> = {}): TaskState => ({
  name,
  fault: 'pod-cpu-hog',
  weight: 10,
  stage: 'pending',
  prepared: false,
  wave: 0,
  injections: 0,
  targets: [],
  probes: [],
  acknowledged: {},
  pods: [],
  streamPosition: 0,
  ...over,
})

export const runState = (tasks: TaskState[], over: Partial<RunState> = {}): RunState => ({
  runId: 'r',
  notifyId: '',
  runner: 'runner-1',
  instance: 'i',
  generation: 1,
  seed: 1,
  startedAt: 1000,
  notes: [],
  tasks,
  adoptions: 0,
  previousRunIds: [],
  ...over,
})

export const targetState = (id: string, over: Partial<TargetState> = {}): TargetState => ({
  id,
  namespace: 'demo',
  kind: 'Pod',
  name: id,
  uid: `uid-${id}`,
  wave: 0,
  state: 'targeted',
  ...over,
})

export const probeState = (
  name: string,
  mode: string,
  over: Partial<ProbeState> = {},
): ProbeState => ({
  name,
  type: 'httpProbe',
  mode,
  verdict: 'Awaited',
  description: '',
  evaluations: 0,
  ...over,
})
