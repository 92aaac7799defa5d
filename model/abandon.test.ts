import { describe, expect, it } from 'vitest'
import {
  abandonAnnotation,
  abandonedList,
  abandonReason,
  giveUpOwed,
  giveUpRun,
  isAnyOpen,
} from './abandon.ts'
import type { RunState, TargetState, TaskState } from './state.ts'
import { runState, targetState, taskState } from './testing.ts'
import { judgeRun } from './verdict.ts'

const target = (state: TargetState['state'], more: Partial<TargetState> = {}): TargetState =>
  targetState(`demo/${state}/app`, {
    name: state,
    uid: 'u',
    container: 'app',
    containerId: 'c1',
    node: 'node-1',
    state,
    ...more,
  })
const task = (targets: TargetState[], more: Partial<TaskState> = {}): TaskState =>
  taskState('hog', {
    stage: 'reverting',
    startedAt: 1,
    chaosAt: 2,
    prepared: true,
    wave: 1,
    injections: 1,
    targets,
    pods: ['hog-x-1'],
    ...more,
  })
const run = (...tasks: TaskState[]): RunState =>
  runState(tasks, { runId: 'r1', runner: 'r', startedAt: 1 })
const given = { reason: 'the node burned', at: 9 }
const byHand =
  'on node node-1, as root: for f in /var/lib/chaosplane/c/node-1/r1/hog/go-*.sh; do sh "$f"; done'

describe('the annotation', () => {
  it.each<[string, Record<string, string> | undefined, string | null]>([
    ['is not there', undefined, null],
    ['gives no reason', { [abandonAnnotation]: '  ' }, ''],
    ['gives one', { [abandonAnnotation]: ' node is gone ' }, 'node is gone'],
  ])('%s', (_, annotations, reason) => {
    expect(abandonReason(annotations)).toBe(reason)
  })
})

describe('giving up', () => {
  it('concerns what is owed, with the commands that remain, and nothing else', () => {
    const owed = target('owed', { remaining: ['kill -9 7'] })
    const state = giveUpOwed(run(task([owed, target('injected'), target('reverted')])), given)
    expect(state.tasks[0]?.targets.map((t) => t.state)).toEqual([
      'abandoned',
      'injected',
      'reverted',
    ])
    expect(state.tasks[0]?.targets[0]?.remaining).toEqual(['kill -9 7'])
    expect(state.abandoned).toEqual(given)
    expect(abandonedList(state)).toBe('demo/owed/app on node node-1; by hand: kill -9 7')
  })

  it('makes the verdict an Error, however the run was ended', () => {
    const abort = { by: 'annotation', at: 3 }
    const owed = { ...run(task([target('owed')], { stage: 'done', finishedAt: 8 })), abort }
    const state = { ...giveUpOwed(owed, given), finishedAt: 9 }
    expect(judgeRun('ChaosExperiment', state)).toMatchObject({ verdict: 'Error' })
    expect(state.tasks[0]?.trouble?.reason).toContain('the node burned')
  })

  it('a run without a runner ends it: all that may be left is given up by name', () => {
    const before = run(
      task([
        target('injected'),
        target('lost'),
        target('owed', { remaining: ['x'] }),
        target('reverted'),
        target('targeted', { wave: 3 }),
      ]),
      task([target('targeted', { undo: { replicas: 3 }, id: 'demo/Deployment/a' })], {
        name: 'scale',
        pods: [],
      }),
      task([], { name: 'later', stage: 'pending', startedAt: undefined as never }),
    )
    expect(isAnyOpen(before)).toBe(true)
    const state = giveUpRun(before, given, 'c')
    expect(state).toMatchObject({ finishedAt: 9, abandoned: given, abort: { at: 9 } })
    expect(state.tasks.map(({ stage }) => stage)).toEqual(['done', 'done', 'done'])
    expect(state.tasks[0]?.targets.map((t) => [t.state, t.remaining])).toEqual([
      ['abandoned', [byHand]],
      ['abandoned', [byHand]],
      ['abandoned', ['x']],
      ['reverted', undefined],
      ['untouched', undefined],
    ])
    expect(state.tasks[1]?.targets[0]?.state).toBe('abandoned')
    expect(isAnyOpen(state)).toBe(false)
    expect(judgeRun('KubernetesChaosExperiment', state).verdict).toBe('Error')
  })
})
