import { describe, expect, it } from 'vitest'
import { runFinalizer } from '../../model/runner-life.ts'
import { planOf, runState, taskPlan, taskState } from '../engine/testing.ts'
import { abortOf, claimOf } from './claim.ts'
import type { Experiment } from './resource.ts'
import { findingOf, isEcho, isOther, tooLarge } from './start.ts'

const experiment = (
  over: Partial<Experiment['metadata']> = {},
  rest: Partial<Experiment> = {},
): Experiment => ({
  metadata: { name: 'x', namespace: 'v2', uid: 'u', resourceVersion: '1', ...over },
  spec: {},
  ...rest,
})
const withRun = (run: unknown, over = {}, spec = {}) => experiment(over, { status: { run }, spec })
const open = runState([taskState('a')])
const over = { ...open, finishedAt: 2000, previousRunIds: ['r0'] }
const deleted = { deletionTimestamp: '2026-01-01T00:00:00Z' }

describe('what a resource asks for', () => {
  it.each([
    ['a new one begins', experiment(), 'begin'],
    ['a new one that is being deleted does not', experiment(deleted), 'nothing'],
    [
      'one that was claimed, never begun, and deleted is let go',
      experiment({ ...deleted, finalizers: [runFinalizer] }),
      'let-go',
    ],
    ['an open run is carried on', withRun(open), 'carry-on'],
    ['an open run is carried on, also while it is deleted', withRun(open, deleted), 'carry-on'],
    [
      'a finished one with our finalizer is not let alone',
      withRun(over, { finalizers: [runFinalizer] }),
      'carry-on',
    ],
    ['a finished one rests', withRun(over), 'nothing'],
    [
      'its own run id does not start it again',
      withRun(over, {}, { experimentRunId: 'r' }),
      'nothing',
    ],
    ['a used run id never starts twice', withRun(over, {}, { experimentRunId: 'r0' }), 'nothing'],
    ['a new run id starts a new run', withRun(over, {}, { experimentRunId: 'r2' }), 'begin'],
    ['a state that cannot be read is said', withRun({ tasks: 'many' }), 'complain'],
  ])('%s', (_name, object, what) => expect(findingOf(object).do).toBe(what))

  it('remembers the ids that were used', () =>
    expect(findingOf(withRun(over, {}, { experimentRunId: 'r2' }))).toEqual({
      do: 'begin',
      previousRunIds: ['r0', 'r'],
    }))
})

describe('who holds it, and who ends it', () => {
  const annotated = (annotations: Record<string, string>) => experiment({ annotations })
  it('reads the claim', () => {
    expect(claimOf(annotated({ 'chaos.chaosplane.io/claimed-by': 'pod-1/abc' }))).toEqual({
      pod: 'pod-1',
      instance: 'abc',
    })
    expect(claimOf(experiment())).toBeNull()
  })
  it.each([
    ['the annotation', annotated({ 'chaos.chaosplane.io/abort': 'true' }), /annotation/],
    ['its alias', annotated({ 'chaosplane.dev/abort': 'True' }), /chaosplane.dev/],
    ['deletion', experiment(deleted), /deletion/],
    ['engineState', experiment({}, { spec: { engineState: 'stop' } }), /engineState/],
  ])('hears an abort by %s', (_name, object, why) =>
    expect(abortOf(object, object.spec)).toMatch(why),
  )
  it('takes "false" for no', () =>
    expect(abortOf(annotated({ 'chaos.chaosplane.io/abort': 'false' }), {})).toBeNull())
})

describe('echoes of what this runner has written', () => {
  const me = { pod: 'pod-1', instance: 'abc' }
  const claim = (by: string) => ({ annotations: { 'chaos.chaosplane.io/claimed-by': by } })
  const next = { ...open, runId: 'r2', previousRunIds: ['r0', 'r'] }
  it.each([
    ['the state before the end', withRun(open), true],
    ['the end with our claim', withRun(over, claim('pod-1/abc')), true],
    ['the end, let go', withRun(over), false],
    ['a claim of another runner for the next run', withRun(over, claim('pod-2/x')), false],
    ['the next run of another runner', withRun(next, claim('pod-2/x')), false],
  ])('%s', (_name, object, echo) => expect(isEcho(object, 'r', me)).toBe(echo))
})

describe('a spec that was edited in mid-run', () => {
  it('is told by the tasks that it no longer has', () => {
    expect(isOther(planOf([taskPlan('a'), taskPlan('b')]), open)).toBe(false)
    expect(isOther(planOf([taskPlan('b')]), open)).toBe(true)
    expect(isOther(planOf([taskPlan('a', { fault: 'pod-delete' })]), open)).toBe(true)
  })
})

describe('what status has no room for', () => {
  it('is refused with the number', () => {
    const many = Array.from({ length: 101 }, (_, i) => taskPlan(`t${i}`))
    expect(tooLarge(planOf(many), 900_000)[0]?.reason).toContain('101 tasks')
    const probes = Array.from({ length: 51 }, (_, i) => ({ ref: `p${i}`, mode: 'SOT' as const }))
    const crowded = planOf([taskPlan('a', { probes })])
    expect(tooLarge(crowded, 900_000)[0]?.reason).toContain('51 probes')
    expect(tooLarge(planOf([taskPlan('a')]), 900_000)).toEqual([])
  })
  it('is refused as a whole, too: many tasks with many probes', () => {
    const probes = Array.from({ length: 50 }, (_, i) => ({ ref: `p${i}`, mode: 'SOT' as const }))
    const plan = (n: number) =>
      planOf(Array.from({ length: n }, (_, i) => taskPlan(`t${i}`, { probes })))
    expect(tooLarge(plan(20), 900_000)).toEqual([])
    expect(tooLarge(plan(100), 900_000)[0]?.reason).toMatch(
      /takes \d+ kB at least.* room for 900 kB/,
    )
    expect(tooLarge(plan(20), 100_000)[0]?.path).toBe('spec')
  })
})
