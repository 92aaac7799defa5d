import { describe, expect, it } from 'vitest'
import type { ProbeState, RunState, TaskState } from './state.ts'
import { runState, taskState } from './testing.ts'
import { judgeRun, judgeTask } from './verdict.ts'

const probe = (over: Partial<ProbeState> = {}): ProbeState => ({
  name: 'ping',
  type: 'httpProbe',
  mode: 'SOT',
  verdict: 'Passed',
  description: '',
  pre: 'passed',
  evaluations: 1,
  ...over,
})
const failed = probe({ name: 'bad', verdict: 'Failed', pre: 'failed', description: 'got 500' })
const broken = probe({
  verdict: 'N/A',
  pre: 'error',
  type: 'cmdProbe',
  trouble: { code: 'CMD_PROBE_ERROR', reason: 'exit status 127' },
})

const inject = { code: 'CHAOS_INJECT_ERROR', reason: 'x' } as const

const task = (over: Partial<TaskState> = {}): TaskState =>
  taskState('one', {
    fault: 'pod-delete',
    stage: 'done',
    startedAt: 1000,
    finishedAt: 9000,
    prepared: true,
    wave: 1,
    injections: 1,
    ...over,
  })

const run = (tasks: TaskState[], over: Partial<RunState> = {}): RunState =>
  runState(tasks, { runId: 'run', runner: 'r', seed: 7, finishedAt: 9500, ...over })

const owed: TaskState['targets'] = [
  {
    id: 'demo/a',
    namespace: 'demo',
    kind: 'Pod',
    name: 'a',
    uid: 'u',
    wave: 0,
    state: 'owed',
    remaining: ['kill 7'],
  },
]

describe('a task', () => {
  const cases: [
    string,
    Partial<TaskState>,
    [string, string, string, string],
    Partial<RunState>?,
  ][] = [
    ['not begun', { stage: 'pending', startedAt: undefined as never }, ['Pending', '', '', '']],
    ['running', { stage: 'chaos' }, ['Running', 'Awaited', '', '']],
    ['without probes', {}, ['Completed', 'Pass', '100', '']],
    ['all probes passed', { probes: [probe()] }, ['Completed', 'Pass', '100', '']],
    [
      'one of three probes failed',
      { probes: [probe(), failed, probe({ name: 'c' })] },
      ['Completed_With_Probe_Failure', 'Fail', '66', 'HTTP_PROBE_FAILURE'],
    ],
    [
      'a failed probe counts before an error',
      { probes: [failed], trouble: { code: 'CHAOS_INJECT_ERROR', reason: 'x' } },
      ['Completed_With_Probe_Failure', 'Fail', '0', 'CHAOS_INJECT_ERROR'],
    ],
    [
      'error',
      { probes: [probe()], trouble: { code: 'TARGET_SELECTION_ERROR', reason: 'x' } },
      ['Error', 'Error', '0', 'TARGET_SELECTION_ERROR'],
    ],
    [
      'cut short is an error',
      { trouble: { code: 'CUT_SHORT', reason: 'x' } },
      ['Error', 'Error', '0', 'CUT_SHORT'],
    ],
    [
      'no effect is an error',
      { trouble: { code: 'EFFECT_NOT_SEEN', reason: 'x' } },
      ['Error', 'Error', '0', 'EFFECT_NOT_SEEN'],
    ],
    [
      'a probe that could not run',
      { probes: [broken] },
      ['Error', 'Error', '0', 'CMD_PROBE_ERROR'],
    ],
    [
      'stopOnFailure',
      { probes: [failed, probe()], stopped: 'probe bad failed and has stopOnFailure' },
      ['Stopped', 'Stopped', '50', 'HTTP_PROBE_FAILURE'],
    ],
    [
      'stopOnFailure, and trouble while it was ended',
      { probes: [failed, probe()], stopped: 'probe bad', trouble: inject },
      ['Stopped', 'Stopped', '50', 'HTTP_PROBE_FAILURE'],
    ],
    [
      'ended by the stop of another task, with a failed probe and trouble of its own',
      { probes: [failed], stopped: 'probe bad of two', trouble: inject },
      ['Stopped', 'Stopped', '0', 'HTTP_PROBE_FAILURE'],
    ],
    [
      'ended by the stop of another task, with trouble and no failed probe',
      { probes: [probe()], stopped: 'probe bad of two', trouble: inject },
      ['Error', 'Error', '0', 'CHAOS_INJECT_ERROR'],
    ],
    [
      'stopOnFailure, and a target is owed',
      { probes: [failed], stopped: 'probe bad', targets: owed },
      ['Error', 'Error', '0', 'CHAOS_REVERT_ERROR'],
    ],
    [
      'aborted, with a failed probe and trouble',
      { probes: [failed, probe()], trouble: inject },
      ['Stopped', 'Stopped', '50', 'EXPERIMENT_ABORTED'],
      { abort: { by: 'annotation', at: 5000 } },
    ],
    [
      'aborted in the middle',
      { probes: [probe()] },
      ['Stopped', 'Stopped', '100', 'EXPERIMENT_ABORTED'],
      { abort: { by: 'annotation', at: 5000 } },
    ],
    [
      'aborted without probes',
      {},
      ['Stopped', 'Stopped', '0', 'EXPERIMENT_ABORTED'],
      { abort: { by: 'annotation', at: 5000 } },
    ],
    [
      'over before the abort',
      { finishedAt: 4000 },
      ['Completed', 'Pass', '100', ''],
      { abort: { by: 'annotation', at: 5000 } },
    ],
    [
      'never begun',
      { startedAt: undefined as never },
      ['Skipped', 'N/A', '', ''],
      { abort: { by: 'annotation', at: 5000 } },
    ],
    [
      'a target is owed, whatever else happened',
      { targets: owed },
      ['Error', 'Error', '0', 'CHAOS_REVERT_ERROR'],
      { abort: { by: 'annotation', at: 5000 } },
    ],
    [
      'abort conditions are no probes',
      { probes: [probe({ mode: 'AbortWhen', verdict: 'Failed', during: 'failed' })] },
      ['Completed', 'Pass', '100', ''],
    ],
    [
      'a probe that was never judged',
      { probes: [probe({ mode: 'EOT', verdict: 'N/A', pre: undefined as never })] },
      ['Error', 'Error', '0', 'PROBE_TIMEOUT'],
    ],
  ]
  it.each(cases)('%s', (_name, over, [phase, verdict, percent, code], runOver) => {
    const state = task(over)
    expect(judgeTask(state, run([state], runOver))).toMatchObject({
      phase,
      verdict,
      probeSuccessPercentage: percent,
      errorCode: code,
    })
  })
})

describe('a run', () => {
  const error = task({ name: 'two', trouble: { code: 'HELPER_ERROR', reason: 'no pod' } })
  const sot = probe({ mode: 'SOT' })
  const eot = probe({ mode: 'EOT', pre: undefined as never, verdict: 'Awaited' })
  const abort = { abort: { by: 'annotation', at: 5000 } }
  const cases: [string, RunState, [string, string, string]][] = [
    [
      'running',
      run([task({ stage: 'chaos' })], { finishedAt: undefined as never }),
      ['Running', 'Running', 'Awaited'],
    ],
    ['passed', run([task()]), ['Completed', 'Completed', 'Pass']],
    [
      'failed probe',
      run([task({ probes: [failed] })]),
      ['Completed_With_Probe_Failure', 'Failed', 'Fail'],
    ],
    ['only errors', run([error]), ['Error', 'Failed', 'Error']],
    ['one of two in error', run([task(), error]), ['Completed_With_Error', 'Failed', 'Error']],
    ['aborted', run([task()], abort), ['Stopped', 'Aborted', 'Stopped']],
    ['aborted, and owed', run([task({ targets: owed })], abort), ['Error', 'Failed', 'Error']],
    [
      'stopped by a probe',
      run([task({ probes: [failed], stopped: 'probe bad' })], { stopped: true }),
      ['Stopped', 'Failed', 'Stopped'],
    ],
    [
      'stopped by a probe, with trouble on the same task',
      run([task({ probes: [failed], stopped: 'probe bad', trouble: inject })], { stopped: true }),
      ['Stopped', 'Failed', 'Stopped'],
    ],
    [
      'stopped by a probe, with an error in another task',
      run([task({ probes: [failed], stopped: 'probe bad' }), task({ ...error, stopped: 'bad' })], {
        stopped: true,
      }),
      ['Error', 'Failed', 'Error'],
    ],
    [
      'refused',
      run([], {
        refused: [{ path: 'spec.tasks', reason: 'there is no task', suggestion: 'write one' }],
      }),
      ['Failed', 'Failed', 'Error'],
    ],
    [
      'before the fault, with a probe',
      run([task({ stage: 'pre-probes', probes: [sot] })], { finishedAt: undefined as never }),
      ['Running', 'SteadyStateChecking', 'Awaited'],
    ],
    [
      'reverting',
      run([task({ stage: 'reverting' })], { finishedAt: undefined as never }),
      ['Running', 'Completing', 'Awaited'],
    ],
    [
      'recovering',
      run([task({ stage: 'post-probes', probes: [eot], chaosEndedAt: 8000 })], {
        finishedAt: undefined as never,
      }),
      ['Running', 'Recovering', 'Awaited'],
    ],
  ]
  it.each(cases)('%s', (_name, state, [litmus, chaosplane, verdict]) => {
    expect(judgeRun('KubernetesChaosExperiment', state)).toMatchObject({
      phase: litmus,
      verdict,
    })
    expect(judgeRun('ChaosExperiment', state)).toMatchObject({ phase: chaosplane, verdict })
  })

  it('weighs, counts and truncates', () => {
    const tasks = [
      task({ name: 'a', weight: 7, probes: [probe(), failed, probe({ name: 'c' })] }),
      task({ name: 'b', weight: 3 }),
      { ...error, name: 'c', weight: 1 },
    ]
    const judged = judgeRun('KubernetesChaosExperiment', run(tasks))
    expect(judged.score).toBe(Math.trunc(((7 * 66 + 3 * 100) / 11) * 100) / 100)
    expect(judged.counters).toEqual({
      faultsPassed: 1,
      faultsFailed: 1,
      faultsAwaited: 0,
      faultsStopped: 0,
      faultsNA: 0,
      totalFaults: 3,
    })
    expect(judged).toMatchObject({ progress: '3/3', probeSuccessPercentage: '66', terminal: true })
  })

  it('says what was refused', () => {
    const refused = run([], {
      refused: [
        { path: 'spec.tasks[0].name', reason: 'it is missing', suggestion: 'name the task' },
      ],
    })
    expect(judgeRun('KubernetesChaosExperiment', refused).message).toBe(
      'spec.tasks[0].name: it is missing; name the task',
    )
  })

  it('ends Completed when an abort condition asked for rollback', () => {
    const ended = (rollback: boolean) =>
      judgeRun('ChaosExperiment', run([task()], { abort: { by: 'x', at: 5000, rollback } })).phase
    expect([ended(true), ended(false)]).toEqual(['Completed', 'Aborted'])
  })
})
