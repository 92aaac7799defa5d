import { expect, it } from 'vitest'
import type { RunState, TargetState } from '../../model/state.ts'
import { runState, target, taskState } from '../engine/testing.ts'
import { type Holder, isStale } from './slots.ts'

const holder: Holder = {
  resource: {
    path: '/apis/x',
    kind: 'KubernetesChaosExperiment',
    namespace: 'v2',
    name: 'x',
    uid: 'u',
  },
  runId: 'r',
  task: 'taint',
  target: 'node/a',
}
/** when the slot was taken */
const takenAt = 1000
const resource = (run?: unknown, uid = 'u') => ({
  metadata: { name: 'x', namespace: 'v2', uid, resourceVersion: '1' },
  ...(run === undefined ? {} : { status: { run } }),
})
const run = (state: TargetState['state'], over: Partial<RunState> = {}) =>
  runState([taskState('taint', { targets: [target('node/a', { state })] })], over)

const cases: Record<string, [object: ReturnType<typeof resource> | undefined, stale: boolean]> = {
  'the resource is gone': [undefined, true],
  'another one has its name': [resource(run('injected'), 'other'), true],
  'nothing is written yet': [resource(), false],
  'the state cannot be read': [resource({ tasks: 'all' }), false],
  'the target is to be hit': [resource(run('targeted')), false],
  'the target is held': [resource(run('injected')), false],
  'the target is owed': [resource(run('owed')), false],
  'the target is put back': [resource(run('reverted')), true],
  'the target was not hit': [resource(run('failed')), true],
  'the run is over': [resource(run('reverted', { finishedAt: 5 })), true],
  'the run was followed by another': [
    resource(run('injected', { runId: 'later', previousRunIds: ['r'] })),
    true,
  ],
  'the run was never stored, and another one has begun since': [
    resource(run('injected', { runId: 'later', startedAt: takenAt + 1 })),
    true,
  ],
  'the run is to follow the one that is stored': [
    resource(run('reverted', { runId: 'earlier', startedAt: takenAt - 1, finishedAt: 5 })),
    false,
  ],
  'the run has no such target yet': [resource(runState([taskState('taint')])), false],
}

it.each(Object.entries(cases))('%s', (_name, [object, stale]) =>
  expect(isStale(holder, object, takenAt)).toBe(stale),
)
