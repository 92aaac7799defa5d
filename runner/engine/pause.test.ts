import { describe, expect, it } from 'vitest'
import type { Plan } from '../../model/plan.ts'
import { type RunState, runStateSchema, type TargetState } from '../../model/state.ts'
import { decide } from './decide.ts'
import type { Fact, FactBody } from './fact.ts'
import { linesOf } from './log-lines.ts'
import { pauseOf } from './pause.ts'
import { reduce } from './reduce.ts'
import { planOf, probeState, runState, shapes, target, taskPlan, taskState } from './testing.ts'
import type { FaultShape } from './view.ts'

const shapeOf = (fault: string): FaultShape =>
  shapes[fault] ?? { hands: 'kube', lasts: 'while-held', waveOffset: () => null }
const now = 100_000
const decided = (plan: Plan, state: RunState, at = now) => decide({ plan, state, now: at, shapeOf })
const wants = (plan: Plan, state: RunState, at = now) =>
  decided(plan, state, at).want.map((a) => a.do)
const fold = (state: RunState, facts: [number, FactBody][]) =>
  facts.reduce((s, [at, body]) => reduce(s, { ...body, at } as Fact), state)
const paused = (plan: Plan, state: RunState, at = now): RunState =>
  reduce(state, { ...pauseOf('me', { plan, state, shapeOf }), at } as Fact)
const resume = (at: number): [number, FactBody] => [at, { fact: 'resumed', by: 'me' }]

const hog = planOf([taskPlan('hog')])
const taint = planOf([taskPlan('taint', { fault: 'node-taint' })])
const kill = planOf([taskPlan('kill', { fault: 'pod-delete' })])
const inChaos = {
  stage: 'chaos',
  prepared: true,
  stageAt: now,
  chaosAt: now,
  startedAt: now,
} as const
const held = (targets: TargetState[], name = 'hog', over = {}) =>
  runState([taskState(name, { ...inChaos, wave: 1, targets, injections: 1, ...over })])
const injected = (id: string, over: Partial<TargetState> = {}) =>
  target(id, { state: 'injected', injectedAt: now - 4000, endsAt: now + 26_000, ...over })
const targetsOf = (state: RunState) => state.tasks[0]?.targets ?? []

describe('a paused run', () => {
  const probes = [probeState('p', 'SOT'), probeState('c', 'Continuous'), probeState('e', 'EOT')]
  it.each<[string, Parameters<typeof taskState>[1], string[]]>([
    ['begins no task', {}, []],
    ['prepares nothing', { stage: 'preparing' }, []],
    [
      'evaluates nothing, but keeps what is armed',
      { stage: 'pre-probes', prepared: true },
      ['attend'],
    ],
    ['does not end a ramp', { stage: 'ramp-up', prepared: true, stageAt: 1 }, ['attend']],
    ['tells no node to go', { ...inChaos, targets: [target('a')] }, ['attend']],
    ['begins no probe after chaos', { stage: 'post-probes', prepared: true, closed: true }, []],
    [
      'ends no ramp after chaos',
      { stage: 'ramp-down', prepared: true, closed: true, stageAt: 1 },
      [],
    ],
  ])('%s', (_name, over, expected) => {
    const state = paused(hog, runState([taskState('hog', { probes, ...over })]))
    expect(decided(hog, state)).toMatchObject({ moves: [], joins: [], finished: false })
    expect(wants(hog, state)).toEqual(expected)
  })
  it('arms no step ahead', () => {
    const plan = planOf([taskPlan('hog'), taskPlan('next')])
    const tasks = [...held([injected('a')]).tasks, taskState('next')]
    expect(wants(plan, runState(tasks))).toContain('prepare')
    expect(wants(plan, paused(plan, runState(tasks)))).toEqual(['attend', 'suspend'])
  })
  it('puts back what a node holds or was told to hold', () => {
    const state = paused(
      hog,
      held([injected('a'), target('b'), target('c', { state: 'reverted' })]),
    )
    expect(targetsOf(state).map((t) => t.suspended)).toEqual([true, true, undefined])
    expect(wants(hog, state)).toEqual(['attend', 'suspend'])
  })
  it('puts back what is held through the API, also what was only planned', () => {
    const targets = [injected('a'), target('b', { undo: {} }), target('c')]
    const state = paused(taint, held(targets, 'taint', { wave: 0 }))
    expect(targetsOf(state).map((t) => t.suspended)).toEqual([true, true, undefined])
    expect(wants(taint, state)).toEqual(['restore', 'restore'])
  })
  it('goes on putting back after the resume', () => {
    const state = fold(paused(taint, held([injected('a')], 'taint')), [resume(now + 10)])
    expect(wants(taint, state, now + 10)).toEqual(['restore'])
    const onNode = fold(paused(hog, held([injected('a')])), [resume(now + 10)])
    expect(wants(hog, onNode, now + 10)).toEqual(['attend', 'suspend'])
  })
  it('ends by an abort, which counts the pause', () => {
    const state = fold(paused(hog, held([injected('a')])), [
      [now + 700, { fact: 'aborted', by: 'me' }],
    ])
    expect(state).toMatchObject({ pausedMs: 700, pauses: 1 })
    expect(state.paused).toBeUndefined()
    expect(decided(hog, state).moves).toEqual([{ task: 'hog', to: 'reverting' }])
    expect(paused(hog, state)).toBe(state)
  })
  it('reverts to the end what was in its last stage', () => {
    const state = paused(hog, held([injected('a')], 'hog', { stage: 'reverting' }))
    expect(wants(hog, state)).toEqual(['attend', 'stop'])
    expect(decided(hog, fold(state, [[now, back('a', 4000)]])).moves).toEqual([
      { task: 'hog', to: 'ramp-down' },
    ])
  })
})

const back = (record: string, heldMs: number): FactBody => ({
  fact: 'reverted',
  task: 'hog',
  target: record,
  proof: 'gone',
  heldMs,
})

describe('a resumed run', () => {
  it('hits again for what is left, with a record of its own', () => {
    const state = fold(paused(hog, held([injected('a')])), [
      [now + 20, back('a', 4020)],
      resume(now + 9000),
    ])
    const [join] = decided(hog, state, now + 9000).joins
    expect(join?.targets).toMatchObject([
      { id: 'a', uid: 'uid-a', round: 1, holdMs: 25_980, state: 'targeted', wave: 0 },
    ])
    const joined = fold(state, [
      [now + 9000, { fact: 'joined', task: 'hog', targets: join?.targets ?? [] }],
    ])
    expect(decided(hog, joined, now + 9000).joins).toEqual([])
    expect(wants(hog, joined, now + 9000)).toEqual(['attend', 'join'])
    expect(targetsOf(joined)[0]).toMatchObject({ state: 'reverted', heldMs: 4020 })
    expect(runStateSchema.safeParse(joined).success).toBe(true)
    const hit = fold(joined, [
      [
        now + 9100,
        { fact: 'injected', task: 'hog', target: 'a#1', evidence: 'seen', endsAt: now + 35_080 },
      ],
    ])
    expect(hit.tasks[0]?.injections).toBe(2)
    expect(wants(hog, hit, now + 9200)).toEqual(['attend'])
  })
  it.each<[string, Partial<TargetState>, number | null]>([
    ['nothing was seen yet: all of it', { state: 'reverted' }, 30_000],
    ['nothing was done yet: all of it', { state: 'untouched' }, 30_000],
    [
      'a second pause: what is left of the rest',
      { state: 'reverted', injectedAt: 1, heldMs: 1000, holdMs: 3000, round: 1 },
      2000,
    ],
    [
      'an end that nobody timed: by what was seen',
      { state: 'reverted', injectedAt: 5000, revertedAt: 9000 },
      26_000,
    ],
    [
      'less than half a second: nothing',
      { state: 'reverted', injectedAt: 1, heldMs: 29_501 },
      null,
    ],
    [
      'it ended by itself: nothing',
      { state: 'reverted', injectedAt: 1, heldMs: 10, suspended: false },
      null,
    ],
    ['it is not put back yet: nothing', { state: 'owed', injectedAt: 1 }, null],
    ['it failed: nothing', { state: 'failed' }, null],
  ])('%s', (_name, over, left) => {
    const state = held([target('a', { suspended: true, ...over })])
    const joins = decided(hog, state).joins.flatMap((j) => j.targets.map((t) => t.holdMs))
    expect(joins).toEqual(left === null ? [] : [left])
  })
  it('hits nothing again after a trouble', () => {
    const trouble = { code: 'CUT_SHORT', reason: 'x' } as const
    const over = { state: 'reverted', suspended: true, injectedAt: 1, heldMs: 10 } as const
    const state = held([target('a', over)], 'hog', { trouble })
    expect(decided(hog, state)).toMatchObject({ joins: [], moves: [{ to: 'reverting' }] })
  })
  it('keeps the order of a series', () => {
    const targets = [
      target('a', { state: 'reverted' }),
      target('b', { state: 'targeted', wave: 1, round: 1, holdMs: 9 }),
      target('c', { wave: 2 }),
    ]
    expect(wants(hog, held(targets, 'hog', { wave: 2 }))).toEqual(['attend', 'join'])
    const { want } = decided(taint, held(targets, 'taint', { wave: 2 }))
    expect(want).toEqual([{ do: 'inject', task: 'taint', wave: 1 }])
  })
  it('starts its clocks where they were', () => {
    const plan = planOf([taskPlan('hog', { rampMs: 5000 })])
    const task = taskState('hog', { stage: 'ramp-up', prepared: true, stageAt: now - 3000 })
    const state = fold(paused(plan, runState([task])), [resume(now + 60_000)])
    expect(decided(plan, state, now + 61_999)).toMatchObject({ moves: [], wakeAt: now + 62_000 })
    expect(decided(plan, state, now + 62_000).moves[0]?.to).toBe('chaos')
    expect(state).toMatchObject({ pauses: 1, pausedMs: 60_000 })
  })
  it('adds up several pauses', () => {
    let state = runState([taskState('hog', { ...inChaos, targets: [target('a')] })])
    for (const at of [now, now + 5000])
      state = fold(paused(hog, state, at), [resume(at + 1000), resume(at + 2000)])
    expect(state).toMatchObject({ pauses: 2, pausedMs: 2000 })
    expect(state.tasks[0]).toMatchObject({ chaosAt: now + 2000, stageAt: now + 2000 })
    expect(runStateSchema.safeParse(state).success).toBe(true)
  })
})

describe('what strikes at once', () => {
  const state = (over = {}) =>
    runState([taskState('kill', { fault: 'pod-delete', ...inChaos, wave: 1, ...over })])
  it('goes on in its own time, and says so', () => {
    const run = paused(kill, state())
    expect(run.paused?.goesOn).toEqual(['kill'])
    expect(wants(kill, run, now + 10_000)).toEqual(['strike'])
    expect(decided(kill, paused(kill, state({ wave: 3 })), now + 30_000).moves[0]?.to).toBe(
      'reverting',
    )
    const fact = { ...pauseOf('me', { plan: kill, state: state(), shapeOf }), at: now } as Fact
    expect(linesOf(fact, kill, run).map((l) => l.text)).toEqual([
      '[Pause]: by me; what strikes at once cannot be paused and goes on',
    ])
    const after = fold(run, [resume(now + 5000)])
    expect(wants(kill, after, now + 9999)).toEqual([])
    expect(after.tasks[0]?.chaosAt).toBe(now)
  })
  it('waits when it has not begun, and when it is over', () => {
    const before = paused(kill, state({ stage: 'ramp-up' }))
    expect(before.paused?.goesOn).toEqual([])
    expect(decided(kill, before)).toMatchObject({ moves: [], want: [] })
    const run = fold(paused(kill, state()), [
      [now + 30_000, { fact: 'moved', task: 'kill', to: 'reverting' }],
      [now + 30_000, { fact: 'moved', task: 'kill', to: 'ramp-down' }],
    ])
    expect(decided(kill, run, now + 90_000)).toMatchObject({ moves: [], want: [] })
    expect(fold(run, [resume(now + 40_000)]).tasks[0]?.stageAt).toBe(now + 40_000)
  })
})
