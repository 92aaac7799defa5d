import { describe, expect, it } from 'vitest'
import type { TaskState } from '../../../model/state.ts'
import { changes } from './changes.ts'
import { at, probe, run, seen, target, task } from './fixture.ts'
import { type Seen, viewOf } from './model.ts'
import { render } from './render.ts'
import { bar, clock, duration, paint, shorten } from './text.ts'

const text = (of: Seen, now: number, width = 120): string[] =>
  render(viewOf(of, now), width).map((line) => paint(line, false))

const deleting = task('del', {
  stage: 'chaos',
  startedAt: at(1),
  chaosAt: at(2),
  injections: 1,
  probes: [probe()],
  targets: [target('hats-a', { state: 'injected', injectedAt: at(2), node: 'n1' })],
})
const hogging = task('hog', {
  stage: 'chaos',
  chaosAt: at(40),
  targets: [target('leg-a', { state: 'injected', injectedAt: at(40), endsAt: at(100) })],
})

describe('time left', () => {
  const cases: [string, TaskState[], number, number | null][] = [
    ['is the sum of the steps at the start', [task('del'), task('hog')], 0, 90],
    ['shrinks while chaos runs', [deleting, task('hog')], 12, 80],
    ['keeps later steps when one is late', [deleting, task('hog')], 50, 60],
    [
      'counts no chaos while putting back',
      [task('del', { stage: 'reverting' }), task('hog')],
      40,
      60,
    ],
    ['is that of the second step in the end', [task('del', { stage: 'done' }), hogging], 70, 30],
    ['ends at zero', [task('del', { stage: 'done' }), task('hog', { stage: 'done' })], 99, 0],
  ]
  it.each(cases)('%s', (_, tasks, second, left) => {
    expect(viewOf(seen(run(tasks)), at(second)).leftMs).toBe(left === null ? null : left * 1000)
  })

  it('multiplies the hold by the waves of a task in series', () => {
    const serial = { ...hogging, targets: [...hogging.targets, target('leg-b', { wave: 1 })] }
    const view = viewOf(seen(run([task('del', { stage: 'done' }), serial])), at(50))
    expect(view.leftMs).toBe(110_000)
    expect(view.tasks[1]?.share).toBeCloseTo(10 / 120)
  })

  it('is not claimed for a run that ends early or has ended', () => {
    const aborted = run([deleting, task('hog')], { abort: { by: 'annotation', at: at(3) } })
    expect(viewOf(seen(aborted), at(4)).leftMs).toBeNull()
    const finished = run([deleting, task('hog')], { finishedAt: at(9) })
    expect(viewOf(seen(finished), at(20))).toMatchObject({ leftMs: null, elapsedMs: 9_000 })
  })
})

describe('the screen', () => {
  it('shows the whole graph before anything happened', () => {
    expect(text(seen(null), at(0))).toEqual([
      '○ KubernetesChaosExperiment v2/api-payload-test  not begun',
      '├─ ○ del  step 1  pod-delete  waiting',
      '├─ ○ hog  step 2  pod-cpu-hog  waiting',
    ])
  })

  it('shows phase, probe, target, bar and time left in the middle of a run', () => {
    expect(text(seen(run([deleting, task('hog')])), at(17))).toEqual([
      '● KubernetesChaosExperiment v2/api-payload-test  Running  0:17, about 1:15 left',
      '├─ ● del  step 1  pod-delete  chaos  ██████████░░░░░░░░░░ 0:15 left',
      '│    probe google-ping (SOT)  Passed  GET 200',
      '│    target demo/hats-a  injected at 0:02 on n1',
      '├─ ○ hog  step 2  pod-cpu-hog  waiting',
    ])
  })

  it('shows verdict and score at the end', () => {
    const back = target('hats-a', {
      state: 'reverted',
      injectedAt: at(2),
      revertedAt: at(4),
      proof: 'replaced by hats-b',
    })
    const tasks = [task('del', { stage: 'done', targets: [back] }), task('hog', { stage: 'done' })]
    const of = seen(run(tasks, { finishedAt: at(95) }), {
      phase: 'Completed',
      verdict: 'Pass',
      score: 100,
      verdicts: { del: 'Pass', hog: 'Pass' },
    })
    expect(text(of, at(200))).toEqual([
      '✓ KubernetesChaosExperiment v2/api-payload-test  Completed  Pass  score 100  1:35',
      '├─ ✓ del  step 1  pod-delete  done  Pass',
      '│    target demo/hats-a  reverted at 0:02, back at 0:04  replaced by hats-b',
      '├─ ✓ hog  step 2  pod-cpu-hog  done  Pass',
    ])
  })

  it('says what must be run by hand, what went wrong and what was refused', () => {
    const stuck = target('leg-a', { state: 'owed', remaining: ['kill 7'] })
    const trouble = { code: 'CHAOS_REVERT_ERROR', reason: 'the node is away.' } as const
    const of = run([task('del', { stage: 'reverting', targets: [stuck], trouble })], {
      refused: [{ path: 'spec.steps', reason: 'empty.', suggestion: 'Name a task.' }],
    })
    const lines = text({ ...seen(of), plan: null }, at(5))
    expect(lines).toContain('│      run by hand: kill 7')
    expect(lines).toContain('│    ✗ CHAOS_REVERT_ERROR: the node is away.')
    expect(lines).toContain('  ✗ spec.steps: empty. Name a task.')
  })

  it('counts the targets that do not fit', () => {
    const targets = Array.from({ length: 9 }, (_, i) => target(`hats-${i}`, { wave: i }))
    const lines = text(seen(run([task('del', { targets })])), at(5))
    expect(lines).toContain('│    … 3 earlier targets')
    expect(lines.filter((l) => l.includes('target demo/'))).toHaveLength(6)
  })

  it.each([20, 40, 79])('never is wider than %s columns', (width) => {
    for (const line of text(seen(run([deleting, hogging])), at(12), width))
      expect(line.length).toBeLessThanOrEqual(width)
  })
})

describe('plain lines', () => {
  const before = viewOf(seen(run([task('del'), task('hog')])), at(0))
  const later = (of: TaskState[], change: Partial<Seen> = {}) =>
    viewOf(seen(run(of), change), at(3))

  it('says nothing when nothing but time changed', () => {
    expect(changes(before, viewOf(seen(run([task('del'), task('hog')])), at(9)))).toEqual([])
  })

  it('says phase first, then every task in order', () => {
    expect(changes(null, later([deleting, task('hog')]))).toEqual([
      '0:03  KubernetesChaosExperiment v2/api-payload-test: Running',
      '0:03  del (pod-delete): chaos',
      '0:03  del: probe google-ping (SOT) Passed: GET 200',
      '0:03  del: target demo/hats-a on n1 injected',
    ])
  })

  it('tells two records of one name apart', () => {
    const first = target('hats-a', { state: 'reverted' })
    const second = { ...target('hats-a', { state: 'targeted', wave: 1 }), uid: 'other' }
    const old = later([task('del', { targets: [first] })])
    expect(changes(old, later([task('del', { targets: [first, second] })]))).toEqual([
      '0:03  del: target demo/hats-a targeted',
    ])
  })

  it('ends with the verdict', () => {
    const done = [task('del', { stage: 'done' }), task('hog', { stage: 'done' })]
    const end = { phase: 'Completed_With_Probe_Failure', verdict: 'Fail', score: 50 }
    const lines = changes(later(done), later(done, { ...end, verdicts: { del: 'Fail' } }))
    expect(lines).toEqual([
      '0:03  KubernetesChaosExperiment v2/api-payload-test: Completed_With_Probe_Failure',
      '0:03  del: Fail',
      '0:03  verdict Fail, score 50',
    ])
  })

  it('says once who ended the run', () => {
    const aborted = viewOf(seen(run([deleting], { abort: { by: 'annotation', at: at(3) } })), at(3))
    const last = viewOf(seen(run([deleting])), at(2))
    expect(changes(last, aborted)).toEqual(['0:03  ended early by annotation'])
    expect(changes(aborted, aborted)).toEqual([])
  })
})

describe('text', () => {
  it.each([
    [0, '0:00'],
    [59_999, '0:59'],
    [61_000, '1:01'],
    [3_600_000, '60:00'],
  ])('clock of %s is %s', (ms, expected) => expect(clock(ms)).toBe(expected))

  it.each([
    [8_234, '8.2 s'],
    [75_000, '1 min 15 s'],
  ])('duration of %s is %s', (ms, expected) => expect(duration(ms)).toBe(expected))

  it.each([
    [-1, '░░░░'],
    [0.5, '██░░'],
    [7, '████'],
  ])('bar of %s is %s', (share, expected) => expect(bar(share, 4)).toBe(expected))

  it('cuts across pieces and keeps their tones', () => {
    const line = [
      ['abc', 'good'],
      ['defgh', 'bad'],
    ] as const
    expect(paint(shorten(line, 6), false)).toBe('abcde…')
    expect(paint(shorten(line, 8), false)).toBe('abcdefgh')
  })

  it('colours only when asked', () => {
    expect(paint([['x', 'bad']], true)).toBe('\u001b[31mx\u001b[0m')
    expect(paint([['x', 'bad']], false)).toBe('x')
  })
})
