import { describe, expect, it } from 'vitest'
import type { Plan } from '../../model/plan.ts'
import type { RunState } from '../../model/state.ts'
import { key } from './action.ts'
import { decide } from './decide.ts'
import { planOf, probeState, runState, shapeOf, target, taskPlan, taskState } from './testing.ts'

const now = 100_000
const decided = (plan: Plan, state: RunState, at = now) => decide({ plan, state, now: at, shapeOf })
const wants = (plan: Plan, state: RunState, at = now) =>
  decided(plan, state, at).want.map((a) => `${a.do} ${a.task}${'wave' in a ? ` ${a.wave}` : ''}`)

const hog = planOf([taskPlan('hog')])
const kill = planOf([taskPlan('kill', { fault: 'pod-delete' })])
const killState = (over = {}) => taskState('kill', { fault: 'pod-delete', prepared: true, ...over })
const inChaos = { stage: 'chaos', prepared: true, stageAt: now, chaosAt: now } as const

describe('before chaos', () => {
  it('begins with the first step only', () =>
    expect(
      decided(planOf([taskPlan('a'), taskPlan('b')]), runState([taskState('a'), taskState('b')]))
        .moves,
    ).toEqual([{ task: 'a', to: 'preparing' }]))
  it('prepares and asks the steady state at the same time', () => {
    const state = taskState('hog', { stage: 'preparing', probes: [probeState('p', 'SOT')] })
    expect(wants(hog, runState([state]))).toEqual(['prepare hog', 'probe hog'])
  })
  it('waits for the steady state before it injects', () => {
    const probes = [probeState('p', 'SOT')]
    const state = taskState('hog', { stage: 'pre-probes', prepared: true, probes })
    expect(wants(hog, runState([state]))).toEqual(['attend hog', 'probe hog'])
  })
  it('goes on after a failed steady state that does not stop', () => {
    const probes = [probeState('p', 'SOT', { pre: 'failed' })]
    const state = taskState('hog', { stage: 'pre-probes', prepared: true, probes })
    expect(decided(hog, runState([state])).moves).toEqual([{ task: 'hog', to: 'ramp-up' }])
  })
  it('injects nothing after a probe that could not be evaluated', () => {
    const probes = [probeState('p', 'SOT', { pre: 'error' })]
    const state = taskState('hog', { stage: 'pre-probes', prepared: true, probes })
    expect(decided(hog, runState([state])).moves).toEqual([{ task: 'hog', to: 'reverting' }])
  })
  it('waits for the ramp, and says until when', () => {
    const plan = planOf([taskPlan('hog', { rampMs: 5000 })])
    const state = taskState('hog', { stage: 'ramp-up', prepared: true, stageAt: now })
    expect(decided(plan, runState([state]), now + 4999).wakeAt).toBe(now + 5000)
    expect(decided(plan, runState([state]), now + 5000).moves[0]?.to).toBe('chaos')
  })
})

describe('an instant fault', () => {
  it.each([
    ['strikes at once', { ...inChaos, wave: 0 }, now, ['strike kill 0']],
    ['waits for the interval', { ...inChaos, wave: 1 }, now + 9999, []],
    ['strikes again after the interval', { ...inChaos, wave: 1 }, now + 10_000, ['strike kill 1']],
    ['does not strike at the very end', { ...inChaos, wave: 3 }, now + 29_999, []],
  ])('%s', (_name, over, at, expected) =>
    expect(wants(kill, runState([killState(over)]), at)).toEqual(expected),
  )
  it('ends with the duration', () =>
    expect(
      decided(kill, runState([killState({ ...inChaos, wave: 3 })]), now + 30_000).moves,
    ).toEqual([{ task: 'kill', to: 'reverting' }]))
  it('asks what became of a strike that was cut off, before it is over', () => {
    const targets = [target('a', { state: 'injected' }), target('b')]
    const over = { stage: 'reverting' as const, chaosAt: now, targets }
    const abort = { abort: { by: 'me', at: now } }
    expect(wants(kill, runState([killState(over)], abort))).toEqual([
      'spare kill 0',
      'settle kill 0',
    ])
    const asked = { ...over, wave: 1, targets: [target('b')] }
    expect(decided(kill, runState([killState(asked)], abort)).moves[0]?.to).toBe('done')
  })
  it('asks nothing about targets when no strike had begun', () => {
    const state = killState({ stage: 'reverting', targets: [target('a')] })
    expect(decided(kill, runState([state], { abort: { by: 'me', at: now } })).moves[0]?.to).toBe(
      'done',
    )
  })
  it('follows each target by itself, also when a later one has its name', () => {
    const at = (id: string, wave: number, over = {}) =>
      target(id, { uid: `${id}-${wave}`, wave, state: 'injected', ...over })
    const targets = [at('a', 0), at('b', 0), at('c', 0, { state: 'reverted' }), at('b', 1)]
    const { want } = decided(kill, runState([killState({ ...inChaos, wave: 2, targets })]))
    const settle = { do: 'settle', task: 'kill' }
    expect(want).toEqual([
      { ...settle, wave: 0, target: 'a' },
      { ...settle, wave: 0, target: 'b' },
      { ...settle, wave: 1, target: 'b' },
    ])
    expect(new Set(want.map(key)).size).toBe(3)
  })
  it('is not over before what was struck is gone', () => {
    const targets = [target('a', { state: 'injected' })]
    const state = killState({ stage: 'reverting', chaosAt: now, targets })
    expect(wants(kill, runState([state]))).toEqual(['settle kill 0'])
  })
})

describe('a held fault', () => {
  it('tells the nodes once, then waits for them', () => {
    const targets = [target('a')]
    expect(wants(hog, runState([taskState('hog', { ...inChaos, targets })]))).toEqual([
      'attend hog',
      'go hog 0',
    ])
    const sent = taskState('hog', { ...inChaos, targets, wave: 1 })
    expect(wants(hog, runState([sent]))).toEqual(['attend hog'])
  })
  it('holds one target after the other in series', () => {
    const targets = [target('a', { state: 'reverted' }), target('b', { wave: 1 })]
    const state = taskState('hog', { ...inChaos, targets, wave: 1 })
    expect(wants(hog, runState([state]))).toEqual(['attend hog', 'go hog 1'])
  })
  it('asks a node that is late to stop', () => {
    const targets = [target('a', { state: 'injected', endsAt: now }), target('b', { wave: 1 })]
    const state = taskState('hog', { ...inChaos, targets, wave: 1 })
    const { want } = decided(hog, runState([state]), now + 3001)
    expect(want).toContainEqual(
      expect.objectContaining({ do: 'stop', task: 'hog', targets: [targets[0]?.id] }),
    )
  })
  it('asks after what nobody could tell of, when a hold would be over', () => {
    const targets = [target('a', { state: 'owed' }), target('b', { wave: 1 })]
    const state = taskState('hog', { ...inChaos, targets, wave: 1 })
    const over = (inChaos.stageAt ?? 0) + 30_000
    const doneAt = (at: number) => decided(hog, runState([state]), at)
    expect(doneAt(over).want.map((a) => a.do)).toEqual(['attend'])
    expect(doneAt(over).wakeAt).toBe(over + 3001)
    expect(doneAt(over + 3001).want).toContainEqual(
      expect.objectContaining({ do: 'stop', task: 'hog', targets: [targets[0]?.id] }),
    )
  })
  it('never leaves reverting while a revert is owed', () => {
    const targets = [target('a', { state: 'owed' })]
    const state = taskState('hog', { ...inChaos, stage: 'reverting', targets, wave: 1 })
    const { moves, want } = decided(hog, runState([state]))
    expect(moves).toEqual([])
    expect(want.map((a) => a.do)).toEqual(['attend', 'stop'])
  })
  it('lets the verdict stand before the pods are gone, but not the resource', () => {
    const targets = [target('a', { state: 'reverted' })]
    const over = { ...inChaos, stage: 'done' as const, targets, wave: 1, pods: ['p'] }
    const decision = decided(hog, runState([taskState('hog', over)]))
    expect(decision).toMatchObject({ finished: true, cleared: false, want: [{ do: 'close' }] })
    const closed = taskState('hog', { ...over, pods: [], closed: true })
    expect(decided(hog, runState([closed])).cleared).toBe(true)
  })
})

describe('loops after chaos', () => {
  const probes = [probeState('p', 'Continuous')]
  const state = killState({ ...inChaos, stage: 'reverting', probes, wave: 3 })
  it('are judged first', () =>
    expect(decided(kill, runState([state]))).toMatchObject({ moves: [], wakeAt: now + 10_000 }))
  it('are not waited for for ever', () =>
    expect(decided(kill, runState([state]), now + 10_000).moves[0]?.to).toBe('ramp-down'))
})

describe('arming early', () => {
  const step1 = (fault: string, names: string[], injections = 1) => {
    const first = taskPlan('first', { fault })
    first.selection.workloads[0] = { kind: 'deployment', namespace: 'demo', names, labels: '' }
    const over = { ...inChaos, fault, wave: 1, targets: [target('z')], injections }
    const state = taskState('first', over)
    return wants(planOf([first, taskPlan('hog')]), runState([state, taskState('hog')]))
  }
  it('prepares the next step while this one holds', () =>
    expect(step1('pod-cpu-hog', ['hog'])).toContain('prepare hog'))
  it('lets this step hit first', () =>
    expect(step1('pod-cpu-hog', ['hog'], 0)).not.toContain('prepare hog'))
  it('does not choose pods that the running step replaces', () => {
    expect(step1('pod-delete', ['hog'])).not.toContain('prepare hog')
    expect(step1('pod-delete', ['other'])).toContain('prepare hog')
  })
})

describe('an early end', () => {
  const abort = { abort: { by: 'me', at: now } }
  it('reverts what is held and begins nothing more', () => {
    const targets = [target('a', { state: 'injected' })]
    const plan = planOf([taskPlan('hog'), taskPlan('next')])
    const states = [taskState('hog', { ...inChaos, targets, wave: 1 }), taskState('next')]
    expect(decided(plan, runState(states, abort)).moves).toEqual([{ task: 'hog', to: 'reverting' }])
  })
  it('skips what was pending and evaluates no probe after chaos', () => {
    const probes = [probeState('p', 'EOT')]
    const state = taskState('hog', { stage: 'ramp-down', probes, chaosAt: now, prepared: true })
    expect(decided(hog, runState([state], abort)).moves[0]?.to).toBe('done')
    expect(decided(hog, runState([taskState('hog')], abort)).moves[0]?.to).toBe('done')
  })
})
