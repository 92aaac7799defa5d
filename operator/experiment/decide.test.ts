import { describe, expect, test } from 'vitest'
import { documentMark } from '../../model/document-mark.ts'
import type { RunState, TargetState, TaskState } from '../../model/state.ts'
import { runState, targetState, taskState } from '../../model/testing.ts'
import { conditionsOf } from './conditions.ts'
import { decide, laterMs, lookMs, soonMs, statusOf } from './decide.ts'
import { judge } from './judge.ts'
import { type Experiment, isSettled, type Memory, observe, type Seen, slim } from './observe.ts'

const start = Date.UTC(2026, 10, 1)
const finalizer = 'chaos.chaosplane.io/run'

const target = (change: Partial<TargetState> = {}): TargetState =>
  targetState('demo/a', { name: 'a', uid: 'u', state: 'injected', ...change })
const task = (change: Partial<TaskState> = {}): TaskState =>
  taskState('t', {
    fault: 'pod-kill',
    stage: 'chaos',
    startedAt: start,
    chaosAt: start,
    prepared: true,
    wave: 1,
    injections: 1,
    targets: [target()],
    ...change,
  })
const runOf = (change: Partial<RunState> = {}): RunState =>
  runState([task()], { runId: 'run-1', runner: 'r', instance: '1', startedAt: start, ...change })
const finished = (change: Partial<RunState> = {}): RunState =>
  runOf({
    finishedAt: start + 9_000,
    tasks: [
      task({ stage: 'done', finishedAt: start + 9_000, targets: [target({ state: 'reverted' })] }),
    ],
    ...change,
  })
const experiment = (run?: RunState, metadata: object = {}): Experiment => ({
  metadata: {
    name: 'e',
    namespace: 'n',
    uid: 'uid-e',
    resourceVersion: '7',
    generation: 1,
    finalizers: [finalizer],
    ...metadata,
  },
  ...(run ? { status: { run } } : {}),
})

type Given = { object?: Experiment; memory?: Memory; now?: number; goneForMs?: number }
const newMemory = (): Memory => ({ told: new Set(), toldOf: '' })
function look({ object = experiment(runOf()), memory = newMemory(), ...given }: Given = {}): Seen {
  const { now = start + 1_000, goneForMs } = given
  return observe(object, memory, {
    judge: (_, run) => judge('ChaosExperiment', run),
    markOf: (of) => documentMark('ChaosExperiment', of),
    lifeOf: () => ({ alive: goneForMs === undefined, goneForMs: goneForMs ?? 0 }),
    now,
  })
}
const says = (given: Given) =>
  Object.fromEntries(conditionsOf(look(given)).map((c) => [c.type, `${c.status} ${c.reason}`]))
const tells = (given: Given) => decide(look(given), given.memory ?? newMemory()).tell

/** The experiment after our own status has been written. */
const written = (object: Experiment): Experiment => ({
  ...object,
  status: {
    ...statusOf(look({ object })),
    ...(object.status?.run ? { run: object.status.run } : {}),
  },
})

const probe = (change: object) => ({
  name: 'p',
  type: 'httpProbe',
  mode: 'SOT',
  verdict: 'Passed' as const,
  description: '',
  evaluations: 1,
  ...change,
})

const three = ([progressing, available, degraded]: (string | undefined)[], reason: string) => ({
  ...(progressing ? { Progressing: `${progressing} ${reason}` } : {}),
  ...(available ? { Available: `${available} ${reason}` } : {}),
  ...(degraded ? { Degraded: `${degraded} ${reason}` } : {}),
})

describe('conditions and Events', () => {
  const abort = { by: 'annotation', at: start + 5_000 }
  const sot = { probes: [probe({ pre: 'passed' })] }
  const cases: [string, RunState | undefined, object, string[]][] = [
    ['of a run that is not claimed', undefined, three(['True'], 'Pending'), []],
    [
      'while the service is checked',
      runOf({
        tasks: [
          task({
            stage: 'pre-probes',
            chaosAt: undefined,
            ...{ probes: [probe({ verdict: 'Awaited' })] },
          } as Partial<TaskState>),
        ],
      }),
      three(['True'], 'SteadyStateChecking'),
      [],
    ],
    [
      'while chaos lasts',
      runOf(),
      three(['True', 'False', 'False'], 'ExperimentStarted'),
      ['Started'],
    ],
    [
      'while chaos lasts after a check',
      runOf({ tasks: [task(sot as Partial<TaskState>)] }),
      three(['True', 'False', 'False'], 'ExperimentStarted'),
      ['Started', 'SteadyStateCheckPassed'],
    ],
    [
      'while it is put back',
      runOf({ tasks: [task({ stage: 'reverting' })] }),
      three(['True'], 'ExperimentCompleting'),
      ['Started'],
    ],
    [
      'while the service recovers',
      runOf({
        tasks: [
          task({
            stage: 'post-probes',
            probes: [probe({ mode: 'EOT', verdict: 'Awaited' })] as TaskState['probes'],
          }),
        ],
      }),
      three(['True'], 'Recovering'),
      ['Started', 'Recovering'],
    ],
    [
      'of a run that passed',
      finished(),
      three(['False', 'True', 'False'], 'ExperimentCompleted'),
      ['Started', 'Completed'],
    ],
    [
      'of a run that was aborted',
      finished({ abort }),
      three(['False', 'False', 'False'], 'ExperimentAborted'),
      ['Started', 'AbortTriggered', 'Aborted'],
    ],
    [
      'of a run without effect',
      finished({ tasks: [task({ stage: 'done', injections: 0, targets: [] })] }),
      three(['False', 'False', 'True'], 'ExperimentFailed'),
      ['Started', 'Failed'],
    ],
    [
      'of a run that never began',
      finished({
        tasks: [
          task({
            stage: 'done',
            chaosAt: undefined,
            injections: 0,
            targets: [],
            probes: [probe({ pre: 'failed', verdict: 'Failed' })],
          } as unknown as Partial<TaskState>),
        ],
      }),
      three(['False', 'False', 'True'], 'ExperimentFailed'),
      ['SteadyStateCheckFailed', 'Failed'],
    ],
  ]
  test.each(cases)('%s', (_, run, conditions, reasons) => {
    const object = experiment(run)
    const all = says({ object })
    const { Progressing, Available, Degraded } = all
    expect(JSON.parse(JSON.stringify({ Progressing, Available, Degraded }))).toEqual(conditions)
    expect(tells({ object }).map(({ reason }) => reason)).toEqual(reasons)
  })

  test('of a refusal name each path', () => {
    const refused = [{ path: 'spec.a', reason: 'is wrong', suggestion: 'write b' }]
    const object = experiment(finished({ refused, tasks: [], notes: ['spec.c is not used.'] }))
    expect(says({ object })).toMatchObject({
      Refused: 'True InvalidSpec',
      FieldsIgnored: 'True NotUsed',
      Degraded: 'True ExperimentFailed',
    })
    expect(tells({ object })).toEqual([
      { type: 'Warning', reason: 'Failed', note: 'spec.a: is wrong; write b' },
    ])
  })

  test.each(['Halted', 'Protected'] as const)(
    'of a refusal tell %s from a wrong document',
    (refusedAs) => {
      const refused = [{ path: 'x', reason: 'is so', suggestion: 'wait' }]
      const object = experiment(finished({ refused, refusedAs, tasks: [] }))
      expect(says({ object })).toMatchObject({
        Refused: `True ${refusedAs}`,
        Available: 'False ExperimentFailed',
      })
    },
  )

  test('say which records status had no room for', () => {
    const tasks = [task({ name: 'a', dropped: 7 }), task({ name: 'b' })]
    const object = experiment(runOf({ tasks }))
    const condition = conditionsOf(look({ object })).find((c) => c.type === 'RecordsDropped')
    expect(condition?.message).toContain('a: 7.')
    expect(says({ object: experiment(runOf()) })['RecordsDropped']).toBeUndefined()
  })

  test.each([
    ['could begin', undefined, 'True NothingTouched', 'Completed'],
    [
      'could not',
      { code: 'MISSING_RIGHT' as const, reason: 'may not' },
      'True WouldFail',
      'Failed',
    ],
  ])('of a dry run that %s', (_what, trouble, condition, event) => {
    const tasks = [
      task({ name: 'a', stage: 'done', skipped: true, ...(trouble ? { trouble } : {}) }),
    ]
    const { startedAt: _, chaosAt: __, ...skipped } = tasks[0] as (typeof tasks)[0]
    const object = experiment(finished({ dryRun: true, tasks: [skipped] }))
    expect(says({ object })['DryRun']).toBe(condition)
    expect(tells({ object }).map(({ reason }) => reason)).toEqual([event])
  })

  test('say what came later and was left alone', () => {
    const tasks = [task({ name: 'a', capped: 'the cap is 2' }), task({ name: 'b' })]
    const object = experiment(runOf({ tasks }))
    const condition = conditionsOf(look({ object })).find((c) => c.type === 'Capped')
    expect(condition).toMatchObject({ status: 'True', message: 'a: the cap is 2' })
    expect(says({ object: experiment(runOf()) })['Capped']).toBeUndefined()
  })

  test('are told once per run', () => {
    const memory: Memory = { told: new Set(['Started']), toldOf: 'run-1' }
    expect(tells({ memory })).toEqual([])
    expect(tells({ memory, object: experiment(runOf({ runId: 'run-2' })) })).toHaveLength(1)
  })

  test('name what is owed when the runner has gone, after a time for another to adopt', () => {
    const tasks = [task({ targets: [target({ node: 'n1', endsAt: start + 60_000 })] })]
    const object = experiment(runOf({ tasks }))
    expect(says({ object, goneForMs: 9_999 })['Stuck']).toBeUndefined()
    expect(says({ object, goneForMs: 10_000 })['Stuck']).toBe('True RunnerGone')
    const told = tells({ object, goneForMs: 10_000 }).find(({ reason }) => reason === 'RunnerGone')
    expect(told?.note).toContain('demo/a on node n1, ends by itself at 2026-11-01T00:01:00.000Z')
  })

  test('of a record that cannot be read keep what was said, and say Stuck', () => {
    const before = written(experiment(runOf()))
    const status = { ...before.status, run: { ...runOf(), tasks: 'many' } }
    const object = { ...before, status } as unknown as Experiment
    const memory = newMemory()
    const first = decide(look({ object, memory, now: start + 1_000 }), memory)
    expect(first).toMatchObject({ tell: [], againMs: soonMs })
    if (first.dirtySince !== undefined) memory.dirtySince = first.dirtySince
    const { conditions = [], ...own } = decide(look({ object, memory, now: start + 2_000 }), memory)
      .status ?? { conditions: [] }
    const { conditions: said = [], run: _, ...others } = before.status ?? {}
    expect(own).toEqual(others)
    expect(conditions.slice(0, -1)).toEqual(said)
    expect(conditions.at(-1)).toMatchObject({
      type: 'Stuck',
      status: 'True',
      reason: 'RecordUnreadable',
      message: expect.stringMatching(/^status.run cannot be read \(status.run.tasks: .*Restore it/),
    })
    const restored = says({ object: { ...object, status: { ...status, run: runOf() } } })
    expect(restored).toMatchObject({ Progressing: 'True ExperimentStarted' })
    expect(restored['Stuck']).toBeUndefined()
  })

  test('say NoRunner only after ten seconds without a claim', () => {
    const object = experiment(undefined, { finalizers: [] })
    const memory = newMemory()
    const first = decide(look({ object, memory, now: start }), memory)
    expect(first.tell).toEqual([])
    expect(first.againMs).toBe(soonMs)
    if (first.dirtySince !== undefined) memory.dirtySince = first.dirtySince
    const later = decide(look({ object, memory, now: start + 10_000 }), memory)
    expect(later.tell.map(({ reason }) => reason)).toEqual(['NoRunner'])
    const condition = later.status?.conditions?.find(({ type }) => type === 'Claimed')
    expect(condition).toMatchObject({ status: 'False', reason: 'NoRunner' })
  })

  test('mention an edited spec in mid-run, but not the generation that a deletion makes', () => {
    const edited = { generation: 2 }
    expect(says({ object: experiment(runOf(), edited) })['SpecChanged']).toBe('True Ignored')
    const deleted = { ...edited, deletionTimestamp: '2026-11-01T00:00:00Z' }
    expect(says({ object: experiment(runOf(), deleted) })['SpecChanged']).toBeUndefined()
    expect(says({ object: experiment(finished(), edited) })['SpecChanged']).toBeUndefined()
  })

  test('tell an edit by what the run was started with, where it says so', () => {
    const asks = (over: object, account = '') => ({
      ...experiment(undefined, {
        generation: 2,
        annotations: { 'chaos.chaosplane.io/service-account': account },
      }),
      spec: { duration: '30s', ...over } as object as NonNullable<Experiment['spec']>,
    })
    const run = runOf({ document: documentMark('ChaosExperiment', asks({})) })
    const saidOf = (object: Experiment) =>
      says({ object: { ...object, status: { run } } })['SpecChanged']
    expect(saidOf(asks({}))).toBeUndefined()
    expect(saidOf(asks({ experimentRunId: 'next', engineState: 'stop' }))).toBeUndefined()
    expect(saidOf(asks({ duration: '60s' }))).toBe('True Ignored')
    expect(saidOf(asks({}, 'another'))).toBe('True Ignored')
  })

  test('say so when a run was ended by an edit, which may have raised no generation', () => {
    const after = [runOf({ edited: true }), { ...finished(), edited: true }]
    for (const run of after)
      expect(says({ object: experiment(run) })['SpecChanged']).toBe('True RunEnded')
  })
})

describe('a pause', () => {
  const paused = { by: 'annotation a', since: start + 500, goesOn: ['kill'] }
  const told = (change: Partial<RunState>, memory = newMemory()) =>
    tells({ memory, object: experiment(runOf(change)) })
      .map(({ reason }) => reason)
      .filter((reason) => reason !== 'Started')
  test('is a condition and an Event, with what cannot be paused', () => {
    const run = runOf({ paused, pauses: 1, tasks: [] })
    const { message } = conditionsOf(look({ object: experiment(run) })).find(
      (c) => c.type === 'Paused',
    ) ?? { message: '' }
    expect(says({ object: experiment(run) })['Paused']).toBe('True PauseRequested')
    expect(message).toBe(
      'By annotation a since 2026-11-01T00:00:00.500Z. Nothing is injected. Strikes at once, so what it has begun cannot be paused and goes on: kill.',
    )
    expect(told({ paused, pauses: 1 })).toEqual(['Paused', 'NotPaused'])
  })
  test('and its end', () => {
    const after = { pauses: 2, pausedMs: 1500 }
    expect(says({ object: experiment(runOf(after)) })['Paused']).toBe('False Resumed')
    expect(told(after)).toEqual(['Paused', 'Resumed'])
    const abort = { by: 'me', at: start }
    expect(says({ object: experiment(runOf({ ...after, abort })) })['Paused']).toBe(
      'False RunEnded',
    )
    expect(told({ ...after, abort })).toEqual(['Paused', 'AbortTriggered'])
  })
  test('is told each time', () => {
    const memory = { told: new Set(['Paused/1', 'Resumed/1']), toldOf: 'run-1' }
    expect(told({ pauses: 1 }, memory)).toEqual([])
    expect(told({ pauses: 2, paused: { ...paused, goesOn: [] } }, memory)).toEqual(['Paused'])
  })
  test('of a run that never was paused is not spoken of', () =>
    expect(says({})['Paused']).toBeUndefined())
})

describe('writing', () => {
  test('what stands there already is not written again', () => {
    const object = written(experiment(runOf()))
    expect(decide(look({ object }), newMemory())).toMatchObject({
      status: undefined,
      againMs: lookMs,
    })
  })

  test('an end is written at once', () => {
    const object = written(experiment(runOf()))
    const ended = { ...object, status: { ...object.status, run: finished() } }
    const { status } = decide(look({ object: ended }), newMemory())
    expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass', resiliencyScore: 100 })
  })

  test('a new phase waits for company, no longer than its time', () => {
    const memory = newMemory()
    const first = decide(look({ memory, now: start }), memory)
    expect(first).toMatchObject({ status: undefined, againMs: soonMs, dirtySince: start })
    memory.dirtySince = start
    expect(decide(look({ memory, now: start + 100 }), memory).againMs).toBe(soonMs - 100)
    expect(decide(look({ memory, now: start + soonMs }), memory).status).toBeDefined()
  })

  test('figures alone are written seldom', () => {
    const object = written(experiment(runOf()))
    const more = { ...task(), targets: [target(), target({ id: 'demo/b', name: 'b' })] }
    const grown = { ...object, status: { ...object.status, run: runOf({ tasks: [more] }) } }
    const memory: Memory = { ...newMemory(), writtenAt: start }
    const now = start + 1_000
    expect(decide(look({ object: grown, memory, now }), memory).status).toBeUndefined()
    memory.dirtySince = now
    const { status } = decide(look({ object: grown, memory, now: now + laterMs }), memory)
    expect(status?.affectedResources).toEqual(['Pod/demo/a', 'Pod/demo/b'])
  })

  test('our own last write counts while the cache is behind it, and no longer', () => {
    const object = experiment(runOf())
    const status = statusOf(look({ object }))
    const memory: Memory = { ...newMemory(), written: { status, version: '9' } }
    expect(decide(look({ object, memory }), memory).dirtySince).toBeUndefined()
    const overwritten = { ...object, metadata: { ...object.metadata, resourceVersion: '10' } }
    expect(decide(look({ object: overwritten, memory }), memory).dirtySince).toBeDefined()
  })

  test('a condition keeps the time of its last change', () => {
    const object = written(experiment(runOf()))
    const before = object.status?.conditions?.[0]?.lastTransitionTime
    const later = statusOf(look({ object, now: start + 60_000 }))
    expect(later.conditions?.[0]?.lastTransitionTime).toBe(before)
    const ended = { ...object, status: { ...object.status, run: finished() } }
    const last = statusOf(look({ object: ended, now: start + 60_000 })).conditions?.[0]
    expect(last).toMatchObject({ status: 'False', lastTransitionTime: '2026-11-01T00:00:09Z' })
  })
})

describe('a settled experiment', () => {
  const told = () => {
    const object = written(experiment(finished()))
    return { ...object, metadata: { ...object.metadata, finalizers: [] } }
  }
  test('is one that is over, let go and told', () => {
    expect(isSettled(told())).toBe(true)
    expect(isSettled(experiment(finished(), { finalizers: [] }))).toBe(false)
    expect(
      isSettled({ ...told(), metadata: { ...told().metadata, finalizers: [finalizer] } }),
    ).toBe(false)
  })
  test('is not settled any more with a new run id', () => {
    expect(isSettled({ ...told(), spec: { experimentRunId: 'run-1' } })).toBe(true)
    expect(isSettled({ ...told(), spec: { experimentRunId: 'run-2' } })).toBe(false)
  })
  test('takes little room and stays settled', () => {
    const small = slim({ ...told(), spec: { experimentRunId: 'run-1', tasks: ['much'] } as object })
    expect(isSettled(small)).toBe(true)
    expect(small.status?.run?.tasks).toEqual([])
    expect(small.spec).toEqual({ experimentRunId: 'run-1', cleanupPolicy: null })
    expect(slim(experiment(runOf())).status?.run?.tasks).toHaveLength(1)
  })
})
