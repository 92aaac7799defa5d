import type { RunState, TaskState } from '../../model/state.ts'
import { runState, taskState } from '../../model/testing.ts'
import type { Experiment } from '../experiment/observe.ts'

/** A task in the midst of chaos. */
export const task = (change: Partial<TaskState>): TaskState =>
  taskState('pod-kill', {
    fault: 'pod-kill',
    stage: 'chaos',
    prepared: true,
    wave: 1,
    injections: 1,
    ...change,
  })

/** When these runs begin. */
export const startedAt = Date.UTC(2026, 10, 1, 10)
/** The state of a run of that experiment. */
export const runOf = (of: Experiment, change: Partial<RunState>): RunState =>
  runState([], {
    runId: of.metadata.uid,
    runner: 'r',
    instance: '1',
    generation: of.metadata.generation ?? 1,
    startedAt,
    ...change,
  })
/** The only target. */
export const target = {
  id: 'demo/a',
  namespace: 'demo',
  kind: 'Pod',
  name: 'a',
  uid: 'u',
  node: 'n1',
  wave: 0,
  state: 'injected' as const,
  injectedAt: startedAt + 1,
}
/** The task while chaos lasts. */
export const running = task({ startedAt, chaosAt: startedAt + 1, targets: [target] })
/** The task when all is put back. */
export const done = task({
  stage: 'done',
  startedAt,
  chaosAt: startedAt + 1,
  finishedAt: startedAt + 10_000,
  targets: [{ ...target, state: 'reverted' }],
})
