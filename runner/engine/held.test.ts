import { describe, expect, it } from 'vitest'
import type { RunState, TargetState, TaskState } from '../../model/state.ts'
import { decide } from './decide.ts'
import type { Fact } from './fact.ts'
import { reduce } from './reduce.ts'
import { planOf, runState, shapeOf, target, taskPlan, taskState } from './testing.ts'

const now = 100_000
const endsAt = now + 30_000
const plan = planOf([taskPlan('taint', { fault: 'node-taint' })])
const abort = { abort: { by: 'me', at: now } }
const trouble = { code: 'CHAOS_INJECT_ERROR', reason: 'no' } as const

const node = (id: string, over: Partial<TargetState> = {}) =>
  target(id, { kind: 'Node', namespace: '', ...over })
const planned = (id: string, over: Partial<TargetState> = {}) =>
  node(id, { undo: { before: null }, plannedAt: now, ...over })
const injected = (id: string, over: Partial<TargetState> = {}) =>
  planned(id, { state: 'injected', injectedAt: now, endsAt, ...over })

const stateOf = (targets: TargetState[], over: Partial<TaskState> = {}): RunState =>
  runState([
    taskState('taint', {
      fault: 'node-taint',
      stage: 'chaos',
      prepared: true,
      stageAt: now,
      chaosAt: now,
      targets,
      ...over,
    }),
  ])

/** What the engine wants or where it moves, as words. */
function decided(state: RunState, at = now): string[] {
  const { want, moves } = decide({ plan, state, now: at, shapeOf })
  const words = want.map((a) =>
    [a.do, 'wave' in a ? a.wave : '', 'target' in a ? a.target : ''].filter((w) => w !== ''),
  )
  return [...moves.map((m) => `to ${m.to}`), ...words.map((w) => w.join(' '))]
}

type Case = [targets: TargetState[], over: Partial<TaskState>, at: number, expected: string[]]
const cases: Record<string, Case> = {
  'injects the wave': [[node('a'), node('b')], {}, now, ['inject 0']],
  'goes on with a wave that was planned when its runner died': [
    [planned('a'), planned('b')],
    {},
    now,
    ['inject 0'],
  ],
  'oversees what is held while the rest of the wave is still injected': [
    [injected('a'), planned('b')],
    {},
    now,
    ['oversee', 'inject 0'],
  ],
  'only oversees once the wave is sent': [[injected('a')], { wave: 1 }, now, ['oversee']],
  'puts back what is due, each at its own time': [
    [injected('a'), injected('b', { endsAt: endsAt + 5000 })],
    { wave: 1 },
    endsAt,
    ['oversee', 'restore a'],
  ],
  'puts back what somebody else has ended early': [
    [injected('a', { state: 'lost' }), injected('b')],
    { wave: 1 },
    now,
    ['oversee', 'restore a'],
  ],
  'tries again what is owed': [
    [injected('a', { state: 'owed' })],
    { wave: 1, trouble },
    now,
    ['restore a'],
  ],
  'begins no second wave before the first is over': [
    [injected('a'), node('b', { wave: 1 })],
    { wave: 1 },
    now,
    ['oversee'],
  ],
  'nor while the first is owed': [
    [injected('a', { state: 'owed' }), node('b', { wave: 1 })],
    { wave: 1 },
    now,
    ['restore a'],
  ],
  'then begins it': [
    [node('a', { state: 'reverted' }), node('b', { wave: 1 })],
    { wave: 1 },
    endsAt,
    ['inject 1'],
  ],
  'begins no further wave after trouble': [
    [node('a', { state: 'failed' }), node('b', { wave: 1 })],
    { wave: 1, trouble },
    now,
    ['to reverting'],
  ],
  'injects nothing when one of the wave cannot be planned': [
    [node('a', { state: 'failed' }), node('b')],
    { trouble },
    now,
    ['to reverting'],
  ],
  'ends at once when the only one could not be planned': [
    [node('a', { state: 'failed' })],
    { trouble },
    now,
    ['to reverting'],
  ],
  'holds the others to their end when one could not be injected': [
    [node('a', { state: 'failed' }), injected('b')],
    { trouble, wave: 1 },
    now,
    ['oversee'],
  ],
  'is over when everything is put back': [
    [node('a', { state: 'reverted' })],
    { wave: 1 },
    endsAt,
    ['to reverting'],
  ],
}

describe('a held API-level fault', () => {
  it.each(Object.entries(cases))('%s', (_name, [targets, over, at, expected]) =>
    expect(decided(stateOf(targets, over), at)).toEqual(expected),
  )
  it('wakes at the first end', () => {
    const targets = [injected('a', { endsAt: endsAt + 1 }), injected('b')]
    expect(decide({ plan, state: stateOf(targets, { wave: 1 }), now, shapeOf }).wakeAt).toBe(endsAt)
  })
})

const ends: Record<string, [targets: TargetState[], expected: string[]]> = {
  'touches nothing that was not planned': [[node('a')], ['to done']],
  'undoes what may have been injected': [[planned('a')], ['restore a']],
  'undoes what was injected, and waits for what is owed': [
    [injected('a'), injected('b', { state: 'owed' }), node('c', { state: 'reverted' })],
    ['restore a', 'restore b'],
  ],
  'is done when all is put back': [[node('a', { state: 'reverted' })], ['to done']],
}

describe('its early end', () => {
  it('leaves chaos first, whatever is held', () =>
    expect(decided({ ...stateOf([injected('a')]), ...abort })).toEqual(['to reverting']))
  it.each(Object.entries(ends))('%s', (_name, [targets, expected]) =>
    expect(decided({ ...stateOf(targets, { stage: 'reverting' }), ...abort })).toEqual(expected),
  )
  it('before chaos needs nothing', () =>
    expect(
      decided({ ...stateOf([node('a')], { stage: 'ramp-up' }), ...abort }).concat(
        decided({ ...stateOf([node('a')], { stage: 'reverting' }), ...abort }),
      ),
    ).toEqual(['to reverting', 'to done']))
})

describe('its record', () => {
  const fold = (state: RunState, ...facts: Partial<Fact>[]): TargetState | undefined =>
    facts.reduce<RunState>(
      (s, fact) => reduce(s, { at: now + 7, task: 'taint', target: 'a', ...fact } as Fact),
      state,
    ).tasks[0]?.targets[0]
  const undo = { before: null }

  it('keeps the first plan: a second one would record what we did ourselves', () => {
    const second = { fact: 'planned', undo: { before: 'ours' } } as const
    expect(fold(stateOf([node('a')]), { fact: 'planned', undo }, second)).toMatchObject({
      undo,
      plannedAt: now + 7,
    })
    expect(fold(stateOf([injected('a')]), second)?.undo).toEqual({ before: null })
  })
  it('holds the undo record until it is proven that it is not needed', () => {
    const owed: Partial<Fact> = { fact: 'revert-failed', trouble, remaining: ['kubectl …'] }
    expect(fold(stateOf([injected('a')]), owed)).toMatchObject({ state: 'owed', undo })
    const reverted = { fact: 'reverted', proof: 'as before', heldMs: 5 } as const
    expect(fold(stateOf([injected('a')]), owed, reverted)).not.toHaveProperty('undo')
    expect(fold(stateOf([injected('a')]), owed, reverted)).not.toHaveProperty('remaining')
  })
  it('counts the seconds up to where the effect was seen last', () => {
    const lost = { fact: 'lost', reason: 'gone', heldMs: 4000 } as const
    const reverted = { fact: 'reverted', proof: 'as before', heldMs: 9000 } as const
    expect(fold(stateOf([injected('a')]), lost, reverted)).toMatchObject({
      state: 'reverted',
      heldMs: 4000,
    })
  })
  it('is not called untouched at the end while it is planned', () => {
    const state = reduce(stateOf([planned('a')]), {
      fact: 'moved',
      task: 'taint',
      to: 'done',
      at: now,
    })
    expect(state.tasks[0]?.targets[0]?.state).toBe('targeted')
  })
})
