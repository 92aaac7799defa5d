import { describe, expect, it } from 'vitest'
import type { Experiment, RunnerLife } from '../experiment/observe.ts'
import { done, running, runOf } from '../testing/runs.ts'
import { abandonStep } from './abandon.ts'

const bare = { metadata: { name: 'x', uid: 'u', resourceVersion: '1' } } as Experiment
const of = (value: string | null, tasks = [running], finalizers = ['chaos.chaosplane.io/run']) => ({
  metadata: {
    ...bare.metadata,
    finalizers,
    annotations: value === null ? {} : { 'chaos.chaosplane.io/abandon': value },
  },
  status: { run: runOf(bare, { tasks }) },
})
const ended = of('x', [done])
/** By an operator that has died since: nobody's Lease has that name, and no runner writes any more. */
const claimed = (object: Experiment): Experiment => ({
  ...object,
  metadata: {
    ...object.metadata,
    annotations: {
      ...object.metadata.annotations,
      'chaos.chaosplane.io/claimed-by': 'operator-0/abandon',
    },
  },
})
const givenUp: Experiment = {
  ...claimed(ended),
  status: { run: { ...ended.status.run, finishedAt: 9, abandoned: { reason: 'x', at: 9 } } },
}
const deleted = (object: Experiment): Experiment => ({
  ...object,
  metadata: { ...object.metadata, deletionTimestamp: '2026-11-01T10:00:00Z' },
})
const finished: Experiment = {
  ...of(null),
  status: { run: { ...ended.status.run, finishedAt: 9 } },
}
const { status: _, ...neverRecorded } = of(null)
const unreadable = (object: Experiment): Experiment =>
  ({ ...object, status: { run: { tasks: 'many' } } }) as unknown as Experiment
const gone = (goneForMs: number): RunnerLife => ({ alive: false, goneForMs })
const alive: RunnerLife = { alive: true, goneForMs: 0 }

describe('what the annotation asks of the operator', () => {
  it.each<[string, Experiment, RunnerLife, object]>([
    ['not there', of(null), gone(99_999), { do: 'nothing' }],
    ['its runner lives: his business', of('x'), alive, { do: 'look-again', inMs: 10_000 }],
    ['its runner may come back', of('x'), gone(4000), { do: 'look-again', inMs: 6000 }],
    ['nobody is there', of('x'), gone(10_000), { do: 'give-up', reason: 'x' }],
    ['no reason', of(' '), gone(10_000), { do: 'refuse' }],
    ['nothing is owed', of('x', [done]), gone(10_000), { do: 'ignore' }],
    ['nothing was recorded', { ...of('x'), status: {} }, gone(10_000), { do: 'ignore' }],
    ['nobody knows what is owed', unreadable(of('x')), gone(10_000), { do: 'nothing' }],
    ['recorded, and the finalizer is still there', givenUp, gone(0), { do: 'let-go' }],
    [
      'claimed for its end, not recorded',
      claimed(of('x')),
      gone(0),
      { do: 'give-up', reason: 'x' },
    ],
    ['claimed for its end, the order taken off', claimed(of(null)), gone(0), { do: 'nothing' }],
    ['let go already', of('x', [running], []), gone(10_000), { do: 'nothing' }],
  ])('%s', (_, object, life, step) => {
    expect(abandonStep(object, life)).toMatchObject(step)
  })
})

describe('a resource in deletion that no runner holds', () => {
  it.each<[string, Experiment, RunnerLife, object]>([
    ['over, not let go', finished, gone(10_000), { do: 'release' }],
    ['claimed, never recorded', neverRecorded, gone(10_000), { do: 'release' }],
    ['all put back', of(null, [done]), gone(10_000), { do: 'release' }],
    ['all put back, and to be abandoned', of('', [done]), gone(10_000), { do: 'release' }],
    ['something is open', of(null), gone(99_999), { do: 'nothing' }],
    ['something is open, and to be abandoned', of('x'), gone(10_000), { do: 'give-up' }],
    ['nobody knows what is open', unreadable(of(null)), gone(99_999), { do: 'nothing' }],
    ['its runner lives', finished, alive, { do: 'look-again', inMs: 10_000 }],
    ['its runner may come back', finished, gone(1), { do: 'look-again', inMs: 9_999 }],
    ['claimed for its end, not let go', claimed(of(null, [done])), gone(0), { do: 'release' }],
    ['let go already', of(null, [done], []), gone(10_000), { do: 'nothing' }],
  ])('%s', (_, object, life, step) => {
    expect(abandonStep(deleted(object), life)).toMatchObject(step)
  })

  it('is not let go before it is deleted', () =>
    expect(abandonStep(finished, gone(99_999))).toEqual({ do: 'nothing' }))
})
