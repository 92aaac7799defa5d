import { describe, expect, it } from 'vitest'
import { type RunState, runStateSchema, type TargetState } from '../../model/state.ts'
import { decide } from './decide.ts'
import type { Fact, FactBody } from './fact.ts'
import { comparedWith, holdEnd, lateRecord } from './follow.ts'
import { reduce } from './reduce.ts'
import { planOf, runState, shapes, target, taskPlan, taskState } from './testing.ts'
import type { FaultShape } from './view.ts'

const shapeOf = (fault: string): FaultShape =>
  shapes[fault] ?? { hands: 'kube', lasts: 'while-held', waveOffset: () => null }
const now = 100_000
const end = now + 26_000
const inChaos = {
  stage: 'chaos',
  prepared: true,
  stageAt: now,
  chaosAt: now,
  startedAt: now,
  wave: 1,
  injections: 1,
  dynamic: true,
} as const
const box = (id: string, life: number, over: Partial<TargetState> = {}) =>
  target(id, { containerId: `${id}-${life}`, ...over })
const injected = (id: string, over: Partial<TargetState> = {}) =>
  box(id, 1, { state: 'injected', injectedAt: now, endsAt: end, ...over })
const fold = (state: RunState, ...facts: FactBody[]) =>
  facts.reduce((s, body) => reduce(s, { at: now, ...body } as Fact), state)
const run = (targets: TargetState[], over = {}, fault = 'pod-cpu-hog') =>
  runState([taskState('t', { fault, ...inChaos, targets, ...over })])
const wants = (state: RunState, at = now, fault = 'pod-cpu-hog') => {
  const plan = planOf([taskPlan('t', { fault, dynamic: true })])
  const { want, moves } = decide({ plan, state, now: at, shapeOf })
  return [...moves.map((m) => m.to), ...want.map((a) => a.do)]
}
const lost: FactBody = { fact: 'lost', task: 't', target: 'a', reason: 'ended', heldMs: 10 }
const back: FactBody = { fact: 'reverted', task: 't', target: 'a', proof: 'gone', heldMs: 10 }
const troubleOf = (state: RunState) => state.tasks[0]?.trouble?.code

describe('a dynamic task', () => {
  it.each(['pod-cpu-hog', 'node-taint'])('follows its selection while it is held: %s', (fault) => {
    expect(wants(run([injected('a')], {}, fault), now, fault)).toContain('follow')
    expect(wants(run([injected('a')], { dynamic: undefined }, fault), now, fault)).not.toContain(
      'follow',
    )
    expect(wants(run([injected('a')], { wave: 0 }, fault), now, fault)).not.toContain('follow')
    expect(wants(run([injected('a')], {}, fault), end - 500, fault)).not.toContain('follow')
  })
  it.each(['pod-cpu-hog', 'node-taint'])('waits for others when all have gone: %s', (fault) => {
    const none = run([injected('a', { state: 'reverted', cut: true })], {}, fault)
    expect(wants(none, now, fault)).toContain('follow')
    expect(wants(none, end, fault)).toEqual(['reverting'])
    const static_ = run([injected('a', { state: 'reverted' })], { dynamic: undefined }, fault)
    expect(wants(static_, now, fault)).toEqual(['reverting'])
  })
  it('looks for nobody while it is paused', () => {
    const paused = { by: 'me', since: now, goesOn: [] }
    expect(wants({ ...run([injected('a')]), paused })).toEqual(['attend'])
  })
  it('ends with an error when an effect ended early on a target that is still there', () => {
    const state = fold(run([injected('a')]), lost, back)
    expect(troubleOf(state)).toBeUndefined()
    const over: FactBody = { fact: 'moved', task: 't', to: 'reverting' }
    expect(troubleOf(fold(state, over))).toBe('CUT_SHORT')
    expect(troubleOf(fold(state, { fact: 'gone', task: 't', target: 'a' }, over))).toBeUndefined()
    const again = lateRecord(box('a', 2), state.tasks[0] ?? taskState('t'), {
      holdMs: 9000,
      until: end,
    })
    expect(troubleOf(fold(state, { fact: 'joined', task: 't', targets: [again] }, over))).toBe(
      undefined,
    )
  })
  it('bears a target that went before it was hit, but only one that came later', () => {
    const missed = (targets: TargetState[], code: 'TARGET_SELECTION_ERROR' | 'HELPER_ERROR') =>
      troubleOf(
        fold(run(targets), {
          fact: 'inject-failed',
          task: 't',
          target: 'b',
          trouble: { code, reason: 'x' },
        }),
      )
    expect(missed([box('b', 1, { holdMs: 5 })], 'TARGET_SELECTION_ERROR')).toBeUndefined()
    expect(missed([box('b', 1, { holdMs: 5 })], 'HELPER_ERROR')).toBe('HELPER_ERROR')
    expect(missed([box('b', 1)], 'TARGET_SELECTION_ERROR')).toBe('TARGET_SELECTION_ERROR')
  })
})

it('a static task is cut short at once', () =>
  expect(troubleOf(fold(run([injected('a')], { dynamic: undefined }), lost))).toBe('CUT_SHORT'))

it('the whole ends when its first targets do, and later when it was paused', () => {
  const late = box('b', 1, { state: 'injected', endsAt: end + 200, holdMs: 9 })
  const task = (targets: TargetState[]) => taskState('t', { ...inChaos, targets })
  expect(holdEnd(task([injected('a'), late]), 30_000)).toBe(end)
  expect(holdEnd(task([]), 30_000)).toBe(now + 30_000)
  const cut = injected('a', { state: 'reverted', cut: true })
  const paused = { by: 'me', since: now + 1, goesOn: [] }
  const [after] = fold(
    { ...run([cut]), paused },
    { fact: 'resumed', by: 'me', at: now + 501 },
  ).tasks
  expect(after && holdEnd(after, 30_000)).toBe(end + 500)
  expect(holdEnd(task([injected('a', { suspended: true, state: 'reverted' }), late]), 1)).toBe(
    end + 200,
  )
})

describe('what a look finds', () => {
  const strip = ({ wave: _, state: __, ...rest }: TargetState) => rest
  const present = [box('a', 1), box('b', 2), box('c', 1)].map(strip)
  const targets = [
    injected('a'),
    injected('b', { state: 'reverted', cut: true }),
    injected('d', { state: 'reverted', cut: true }),
    injected('e'),
  ]
  it('tells new pods and new lives of a container from those that are known', () => {
    const { gone, held, fresh } = comparedWith(taskState('t', { targets }), present, false)
    expect(gone.map((t) => t.id)).toEqual(['b', 'd'])
    expect(held).toBe(1)
    expect(fresh.map((t) => t.containerId)).toEqual(['b-2', 'c-1'])
  })
  it('knows a pod by itself, as long as what outlives its container is there', () => {
    const record = (id: string, over: Partial<TargetState>) => injected(id, over)
    const known = taskState('t', {
      targets: [
        record('a', {}),
        record('b', { state: 'lost', cut: true }),
        record('c', { state: 'reverted', cut: true }),
        record('d', { state: 'failed', outcome: 'noLongerExists' }),
        record('e', { state: 'reverted', cut: true }),
      ],
    })
    const again = [box('a', 2), box('b', 2), box('c', 2), box('d', 2)].map(strip)
    const { gone, held, fresh } = comparedWith(known, again, true)
    expect(held).toBe(2)
    // What ended is not there any more: the pod's container, as it is now, may be hit.
    expect(fresh.map((t) => t.containerId)).toEqual(['c-2', 'd-2'])
    // Only a pod that is no more says that nothing was cut short.
    expect(gone.map((t) => t.id)).toEqual(['e'])
    expect(comparedWith(known, [box('c', 1)].map(strip), true).fresh).toEqual([])
  })
  it('gives a known target another record, with what is left of the whole', () => {
    const [, b, c] = present
    if (!b || !c) throw new Error('nobody')
    const task = taskState('t', { ...inChaos, targets })
    const records = [b, c].map((p) => lateRecord(p, task, { holdMs: 9000, until: end }))
    expect(records).toMatchObject([
      { id: 'b', round: 1, holdMs: 9000, state: 'targeted', containerId: 'b-2' },
      { id: 'c', holdMs: 9000, until: end, state: 'targeted' },
    ])
    expect(records[1]?.round).toBeUndefined()
    const state = fold(run(targets), { fact: 'joined', task: 't', targets: records })
    expect(runStateSchema.safeParse(state).success).toBe(true)
    expect(wants(state)).toContain('join')
    // Too late for it: its node is asked, and says that nothing was done.
    const late = wants(state, end - 400)
    expect(late).not.toContain('join')
    expect(late).toContain('suspend')
  })
})
