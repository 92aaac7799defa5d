import { describe, expect, it } from 'vitest'
import type { RunState } from '../../model/state.ts'
import { judgeRun } from '../../model/verdict.ts'
import { slotsOf } from '../actions/held.ts'
import { key } from '../engine/action.ts'
import { decide } from '../engine/decide.ts'
import type { Fact, FactBody } from '../engine/fact.ts'
import { reduce } from '../engine/reduce.ts'
import {
  planOf as enginePlan,
  runState,
  shapeOf,
  target,
  taskPlan,
  taskState,
} from '../engine/testing.ts'
import { faultCatalogue } from '../faults/catalogue.generated.ts'
import { kubeFaults } from '../faults/index.generated.ts'
import { endOf, planOfRecord, unknownFaults } from './edited.ts'
import { resourceOf } from './resource.ts'

const object = { metadata: { name: 'x', namespace: 'v2', uid: 'u', resourceVersion: '1' } }
const planOf = (state: RunState) =>
  planOfRecord(state, {
    resource: resourceOf('KubernetesChaosExperiment', object),
    object,
    faults: faultCatalogue,
  })

/** As another runner takes it over: what it wants once nothing can be decided without it. */
function takenOver(before: RunState): { state: RunState; wants: string[] } {
  const facts: Fact[] = [
    { fact: 'adopted', runner: 'runner-2', instance: 'i', at: 5000 },
    { ...(endOf(before, 'edited', { ok: false, refusals: [] })[0] as FactBody), at: 5000 } as Fact,
  ]
  let state = facts.reduce(reduce, before)
  const plan = planOf(state)
  for (let turn = 0; turn < 20; turn++) {
    const { moves, want, finished } = decide({ plan, state, now: 6000, shapeOf })
    if (finished && !state.finishedAt) state = reduce(state, { fact: 'finished', at: 6000 })
    if (moves.length === 0) return { state, wants: want.map(key) }
    for (const { task, to } of moves) state = reduce(state, { fact: 'moved', task, to, at: 6000 })
  }
  throw new Error('it moves for ever')
}

const tainted = (name: string, over: Parameters<typeof taskState>[1] = {}) =>
  taskState(name, { fault: 'node-taint', stage: 'chaos', startedAt: 1, prepared: true, ...over })
const undo = { taints: [] }

describe('a run whose document is gone', () => {
  it('puts back at once whatever its tasks may hold, in whichever step they were', () => {
    const first = tainted('first', {
      targets: [
        target('held', { state: 'injected', undo }),
        target('owed', { state: 'owed', undo }),
        target('perhaps', { undo }),
        target('never'),
      ],
    })
    const second = tainted('second', { targets: [target('held', { state: 'injected', undo })] })
    const { wants } = takenOver(runState([first, second]))
    expect(wants.sort()).toEqual(
      ['first held', 'first owed', 'first perhaps', 'second held'].map((what) => {
        const [task = '', of = ''] = what.split(' ')
        return key({ do: 'restore', task, target: of })
      }),
    )
  })

  it('asks the nodes of what they may have begun, and tells them to stop', () => {
    const hog = taskState('hog', {
      stage: 'chaos',
      prepared: true,
      pods: ['hog-1'],
      targets: [target('t', { containerId: 'c', state: 'injected' })],
    })
    const { wants } = takenOver(runState([hog]))
    expect(wants.map((what) => what.split(/\W/)[0])).toEqual(['attend', 'stop'])
  })

  it.each(['pending', 'preparing', 'pre-probes', 'ramp-up', 'chaos', 'post-probes'] as const)(
    'begins nothing when it was %s, ends, and says why',
    (stage) => {
      const begun = stage === 'pending' ? {} : { startedAt: 1 }
      const tasks = [taskState('hog', { stage, ...begun, targets: [target('t')] })]
      const { state, wants } = takenOver(runState([...tasks, taskState('later')]))
      expect(wants).toEqual([])
      expect(state).toMatchObject({ edited: true, finishedAt: 6000 })
      expect(state.tasks.map((t) => [t.stage, t.skipped ?? false])).toEqual([
        ['done', stage === 'pending'],
        ['done', true],
      ])
      expect(state.tasks[0]?.targets[0]?.state).toBe('untouched')
      const { verdict, message } = judgeRun('ChaosExperiment', state)
      expect(verdict).toBe('Error')
      expect(message).toContain('edited in mid-run')
    },
  )

  it('is left as it is when its verdict stands', () => {
    const done = runState([taskState('hog', { stage: 'done', startedAt: 1, finishedAt: 2 })], {
      finishedAt: 3,
    })
    expect(takenOver(done).state).toEqual({ ...done, adoptions: 1, runner: 'runner-2' })
  })
})

describe('a run that is taken over', () => {
  const compiled = (name = 'hog') => ({ ok: true as const, plan: enginePlan([taskPlan(name)]) })
  const refused = {
    ok: false as const,
    refusals: [{ path: 'spec.x', reason: 'it is odd', suggestion: '' }],
  }
  const run = (over: Partial<RunState> = {}) =>
    runState([taskState('hog', { startedAt: 1, stage: 'chaos' })], over)
  it.each([
    ['is carried on by the document that began it', run({ document: 'a' }), compiled(), null],
    ['ends when the document is another one', run({ document: 'b' }), compiled(), 'edited'],
    ['ends when nobody can read it any more', run({ document: 'b' }), refused, 'edited'],
    ['of an older version is known by its tasks', run(), compiled(), null],
    ['of an older version ends when they are others', run(), compiled('other'), 'edited'],
    ['of an older version ends without a plan', run(), refused, 'edited'],
  ])('%s', (_name, before, plan, fact) =>
    expect(endOf(before, 'a', plan)[0]?.fact ?? null).toBe(fact),
  )
  it.each([
    ['does not take the document', refused, 'spec.x: it is odd'],
    ['makes other tasks of it', compiled('other'), 'spec: it has other tasks'],
  ])('ends, and nobody is blamed for an edit, when another version %s', (_name, plan, why) => {
    const [fact] = endOf(run({ document: 'a' }), 'a', plan)
    expect(fact).toMatchObject({ fact: 'prepare-failed', task: 'hog', fatal: true })
    const after = reduce(run(), { ...(fact as FactBody), at: 5000 } as Fact)
    expect(after.broken).toBe(true)
    expect(after.edited).toBeUndefined()
    expect(after.tasks[0]?.trouble?.reason).toContain(
      `does not take the document of the run (${why})`,
    )
  })
})

describe('what is known of a fault without its parameters', () => {
  const plan = planOf(
    runState(
      Object.values(faultCatalogue).map(({ id, names }) =>
        taskState(id, { fault: names.litmus[0] ?? names.chaosplane[0] ?? '' }),
      ),
    ),
  )
  const faults = plan.tasks.flatMap((task) => {
    const fault = kubeFaults[task.fault]
    return fault ? [{ task, fault }] : []
  })

  it('is all that putting it back, or following it to its end, takes', () => {
    expect(plan.tasks.map(({ fault }) => fault)).toEqual(Object.keys(faultCatalogue))
    const limits = faults.map(({ task, fault }) =>
      fault.lasts === 'instant'
        ? fault.settleMs(task.params as never)
        : slotsOf({ task, actor: {} as never }, target('t')).length,
    )
    expect(limits.every((limit) => Number.isFinite(limit))).toBe(true)
  })
  it('is nothing of one that this version does not know; that matters until its task is over', () => {
    const of = (over: object) => runState([taskState('a', { fault: 'pod-from-later', ...over })])
    expect(unknownFaults(of({}), faultCatalogue)).toEqual(['pod-from-later'])
    expect(unknownFaults(of({ stage: 'done', pods: ['a-1'] }), faultCatalogue)).toHaveLength(1)
    expect(unknownFaults(of({ stage: 'done' }), faultCatalogue)).toEqual([])
    expect(unknownFaults(runState([taskState('a')]), faultCatalogue)).toEqual([])
  })
})
