import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  isEnded,
  type RunState,
  runStateSchema,
  type TargetState,
  type TaskState,
} from '../../model/state.ts'
import { judgeRun, judgeTask } from '../../model/verdict.ts'
import { decide } from './decide.ts'
import type { Fact, FactBody } from './fact.ts'
import { linesOf } from './log-lines.ts'
import { reduce } from './reduce.ts'
import { planOf, probeState, runState, shapeOf, target, taskPlan, taskState } from './testing.ts'

/** One target's life as its node tells it. */
const lives: FactBody[][] = ['a', 'b'].map((id) => [
  { fact: 'armed', task: 'hog', target: id },
  { fact: 'injected', task: 'hog', target: id, evidence: 'seen', endsAt: 5000 },
  { fact: 'lost', task: 'hog', target: id, reason: 'restart', heldMs: 10 },
  { fact: 'reverted', task: 'hog', target: id, proof: 'gone', heldMs: 10 },
])
const others: FactBody[] = [
  { fact: 'moved', task: 'hog', to: 'chaos' },
  { fact: 'wave-sent', task: 'hog', wave: 0 },
  { fact: 'aborted', by: 'me' },
]
const start = () =>
  runState([
    taskState('hog', {
      stage: 'ramp-up',
      prepared: true,
      targets: [target('a'), target('b')],
      probes: [probeState('p', 'SOT', { pre: 'passed', verdict: 'Passed' })],
    }),
  ])

/** Any order that keeps each source's own order, with repetitions of what was said before. */
const interleaving = fc
  .array(fc.tuple(fc.nat(2), fc.boolean()), { minLength: 40, maxLength: 60 })
  .map((choices) => {
    const sources = [...lives, others].map((s) => [...s])
    const out: FactBody[] = []
    for (const [source, again] of choices) {
      const next = sources[source]?.shift()
      if (next) out.push(next)
      if (again && out.length > 0) out.push(out[Math.floor(out.length / 2)] as FactBody)
    }
    return [...out, ...sources.flat()]
  })

it('counts one injection per target and ends every target, whatever the order and however often', () =>
  fc.assert(
    fc.property(interleaving, (facts) => {
      const end = facts.reduce(
        (state, body, i) => reduce(state, { ...body, at: 2000 + i } as Fact),
        start(),
      )
      const task = end.tasks[0]
      expect(task?.injections).toBe(2)
      expect(task?.targets.every(isEnded)).toBe(true)
      expect(runStateSchema.safeParse(end).success).toBe(true)
    }),
  ))

it('wants no second injection of what was injected, in any state on the way', () =>
  fc.assert(
    fc.property(interleaving, (facts) => {
      let state = start()
      const plan = planOf([taskPlan('hog')])
      facts.forEach((body, i) => {
        state = reduce(state, { ...body, at: 2000 + i } as Fact)
        const { want } = decide({ plan, state, now: 3000, shapeOf })
        const goes = want.filter((a) => a.do === 'go')
        if (state.tasks[0]?.wave === 1) expect(goes).toEqual([])
      })
    }),
  ))

it('keeps open records when there are too many, and drops ended ones', () => {
  const ended = Array.from({ length: 250 }, (_, i) => target(`e${i}`, { state: 'reverted' }))
  const open = target('open', { state: 'injected' })
  const state = runState([taskState('hog', { targets: [open] })])
  const next = reduce(state, {
    fact: 'targeted',
    task: 'hog',
    wave: 1,
    targets: ended.map((t) => ({ ...t, wave: 1 })),
    at: 1,
  })
  expect(next.tasks[0]?.targets).toHaveLength(200)
  expect(next.tasks[0]?.dropped).toBe(51)
  expect(next.tasks[0]?.targets).toContainEqual(open)
})

it('stores the first trouble, which is the cause', () => {
  const first = { code: 'CUT_SHORT', reason: 'first' } as const
  const state = runState([taskState('hog')])
  const next = [first, { code: 'GENERIC_ERROR', reason: 'second' } as const].reduce(
    (s, trouble) => reduce(s, { fact: 'failed', task: 'hog', trouble, at: 1 }),
    state,
  )
  expect(next.tasks[0]?.trouble).toEqual(first)
})

it('a node that lost its last words to a power cut does not unsay an injection that was heard', () => {
  const facts: FactBody[] = [
    { fact: 'injected', task: 'hog', target: 'a', evidence: 'seen', endsAt: 5000 },
    {
      fact: 'inject-failed',
      task: 'hog',
      target: 'a',
      trouble: { code: 'TARGET_SELECTION_ERROR', reason: 'the node has booted' },
      outcome: 'noLongerExists',
    },
  ]
  const [task] = facts.reduce((s, f) => reduce(s, { ...f, at: 9 } as Fact), start()).tasks
  expect(task?.injections).toBe(1)
  expect(task?.trouble).toMatchObject({ code: 'CUT_SHORT' })
  expect(task?.targets[0]).toMatchObject({
    state: 'reverted',
    outcome: 'noLongerExists',
    cut: true,
    evidence: 'seen',
  })
  expect(task?.targets[0]?.heldMs).toBeUndefined()
})

it('keeps the outcome of a task that is done, whatever is heard later', () => {
  const trouble = { code: 'HELPER_ERROR', reason: 'late' } as const
  const probes = [probeState('p', 'Continuous', { verdict: 'N/A' })]
  const before = runState([
    taskState('hog', { stage: 'done', probes, targets: [target('a', { state: 'untouched' })] }),
  ])
  const late: FactBody[] = [
    { fact: 'inject-failed', task: 'hog', target: 'a', trouble },
    { fact: 'failed', task: 'hog', trouble },
    {
      ...{ fact: 'probed', task: 'hog', probe: 'p', phase: 'during', outcome: 'passed' },
      ...{ detail: '', evaluations: 1, final: true },
    } as FactBody,
  ]
  const after = late.reduce((s, f) => reduce(s, { ...f, at: 2 } as Fact), before)
  expect(after.tasks[0]?.targets[0]?.state).toBe('failed')
  expect(judgeTask(after.tasks[0] as TaskState)).toEqual(judgeTask(before.tasks[0] as TaskState))
})

describe('pods that keep their names', () => {
  const strikes = { fault: 'pod-delete', stage: 'chaos', prepared: true, chaosAt: 1 } as const
  const record = (wave: number, state: TargetState['state']) =>
    target('db-1', { uid: `uid-${wave}`, wave, state })
  const told = (targets: TargetState[], body: FactBody) =>
    reduce(runState([taskState('kill', { ...strikes, targets })]), { ...body, at: 9 } as Fact)
  const of = { task: 'kill', target: 'db-1' }
  const trouble = { code: 'EFFECT_NOT_SEEN', reason: 'still there' } as const
  const facts: Record<string, FactBody> = {
    'the end': { fact: 'reverted', ...of, wave: 0, proof: 'gone' },
    'the failure': { fact: 'inject-failed', ...of, wave: 0, trouble },
  }

  it.each(['targeted', 'injected', 'reverted'] as const)(
    'of the older one is what is heard of it, while the newer one is %s',
    (state) => {
      for (const [what, body] of Object.entries(facts)) {
        const [task] = told([record(0, 'injected'), record(1, state)], body).tasks
        expect(task?.targets[0] && isEnded(task.targets[0]), what).toBe(true)
        expect(task?.targets[1], what).toEqual(record(1, state))
      }
    },
  )
  it('are counted each time', () => {
    const hit: FactBody = { fact: 'injected', ...of, wave: 0, evidence: 'accepted' }
    const state = told([record(0, 'targeted'), record(1, 'injected')], hit)
    expect(state.tasks[0]?.injections).toBe(1)
    expect(state.tasks[0]?.targets.map((t) => t.state)).toEqual(['injected', 'injected'])
  })
})

describe('targets whose turn never came', () => {
  const end = (targets: TargetState[], facts: FactBody[] = []) => {
    const state = runState([taskState('hog', { targets, startedAt: 1, chaosAt: 1, wave: 1 })])
    const all: FactBody[] = [...facts, { fact: 'moved', task: 'hog', to: 'done' }]
    return all.reduce((s, body) => reduce(s, { ...body, at: 9 } as Fact), state)
  }
  const states = (state: RunState) => state.tasks[0]?.targets.map((t) => t.state)
  const told: FactBody = {
    fact: 'reverted',
    task: 'hog',
    target: 'b',
    proof: 'nothing was injected',
    heldMs: 0,
    untouched: true,
  }

  it('say so when their task ends, in status and log', () => {
    const state = end([target('a', { state: 'reverted' }), target('b', { wave: 1 })])
    expect(states(state)).toEqual(['reverted', 'untouched'])
    expect(state.tasks[0]?.targets.every(isEnded)).toBe(true)
    expect(runStateSchema.safeParse(state).success).toBe(true)
    const fact = { fact: 'moved', task: 'hog', to: 'done', at: 9 } as const
    const lines = linesOf(fact, planOf([taskPlan('hog')]), state)
    expect(lines.map((l) => l.text)).toEqual([
      '[Untouched]: the task ended before the turn of b',
      '[End]: pod-cpu-hog FAULT END',
    ])
  })
  it('say so when their node was told to stop first, and are not called put back', () => {
    const state = end([target('b', { wave: 1 })], [told, told])
    expect(states(state)).toEqual(['untouched'])
    expect(linesOf({ ...told, at: 9 } as Fact, planOf([taskPlan('hog')]), state)).toEqual([])
  })
  it('do not hide an effect that is heard of later', () => {
    const state = end([target('b', { wave: 1 })])
    const hit: FactBody[] = [
      { fact: 'injected', task: 'hog', target: 'b', evidence: 'seen' },
      told,
      { fact: 'reverted', task: 'hog', target: 'b', proof: 'gone' },
    ]
    const heard = hit.map((_, i) =>
      states(hit.slice(0, i + 1).reduce((s, f) => reduce(s, { ...f, at: 10 } as Fact), state)),
    )
    expect(heard).toEqual([['injected'], ['injected'], ['reverted']])
  })

  const trouble = { code: 'HELPER_ERROR', reason: 'its fault pod did not start' } as const
  const failed: FactBody = { fact: 'inject-failed', task: 'hog', target: 'b', trouble }
  it.each<[string, FactBody[], string, number | undefined]>([
    ['that were given up before that was known', [failed], 'reverted', 7],
    [
      'that are owed, as nobody could tell',
      [{ fact: 'revert-failed', task: 'hog', target: 'b', trouble, remaining: [] }],
      'reverted',
      7,
    ],
    ['unless their node had said that they failed', [{ ...failed, heldMs: 3 }], 'failed', 3],
    ['unless they had gone', [{ ...failed, outcome: 'noLongerExists' }], 'failed', undefined],
  ])('are hit after all, as their node tells: those %s', (_, before, state, heldMs) => {
    const after: FactBody[] = [
      { fact: 'injected', task: 'hog', target: 'b', evidence: 'seen' },
      { fact: 'reverted', task: 'hog', target: 'b', proof: 'gone', heldMs: 7 },
      // told again
      { fact: 'injected', task: 'hog', target: 'b', evidence: 'seen' },
    ]
    const [task] = [...before, ...after].reduce(
      (s, body) => reduce(s, { ...body, at: 9 } as Fact),
      runState([taskState('hog', { targets: [target('b')], wave: 1 })]),
    ).tasks
    expect(task?.targets[0]).toMatchObject({ state, ...(heldMs === undefined ? {} : { heldMs }) })
    expect(task?.injections).toBe(state === 'reverted' ? 1 : 0)
    expect(task?.trouble?.code).toBe('HELPER_ERROR')
  })
})

describe('a target of which nobody could tell', () => {
  const trouble = { code: 'HELPER_ERROR', reason: 'its fault pod did not start' } as const
  const owed: FactBody = { fact: 'revert-failed', task: 'hog', target: 'b', trouble, remaining: [] }
  const untouched: FactBody = {
    ...{ fact: 'reverted', task: 'hog', target: 'b', proof: 'nothing was injected' },
    ...{ heldMs: 0, untouched: true },
  }
  const hit: FactBody = { fact: 'injected', task: 'hog', target: 'b', evidence: 'seen' }
  const become = (...bodies: FactBody[]) =>
    bodies.reduce(
      (s, body) => reduce(s, { ...body, at: 9 } as Fact),
      runState([taskState('hog', { targets: [target('b')], wave: 1 })]),
    ).tasks[0]?.targets[0]

  it('is done with when its node says that nothing was done', () => {
    expect(become(owed, untouched)).toMatchObject({ state: 'reverted', heldMs: 0 })
    expect(become(owed, untouched)).not.toHaveProperty('remaining')
    expect(become(owed, untouched)).not.toHaveProperty('injectedAt')
  })
  it('stays owed once its node has said that it was hit', () => {
    expect(become(owed, hit, untouched)).toMatchObject({ state: 'owed', injectedAt: 9 })
  })
})

describe('a run that cannot go on', () => {
  const begun = (name: string) => taskState(name, { stage: 'chaos', startedAt: 1, chaosAt: 1 })
  const verdicts = (state: RunState) =>
    judgeRun('KubernetesChaosExperiment', state).tasks.map((t) => t.verdict)
  const over = (state: RunState): RunState => ({
    ...state,
    finishedAt: 9,
    tasks: state.tasks.map((t) => ({ ...t, stage: 'done', finishedAt: 9 })),
  })

  it('because its record is refused is an error in what was begun, and no more', () => {
    const done = taskState('c', { stage: 'done', startedAt: 1, injections: 1 })
    const state = runState([begun('a'), taskState('b'), done])
    const next = reduce(state, { fact: 'unrecorded', why: 'too large', at: 2 })
    expect(next.broken).toBe(true)
    expect(verdicts(over(next))).toEqual(['Error', 'N/A', 'Pass'])
    const none = reduce(runState([taskState('b')]), { fact: 'unrecorded', why: 'too large', at: 2 })
    expect(verdicts(over(none))).toEqual(['Error'])
  })
  it('does not claim that its other tasks have passed', () => {
    const trouble = { code: 'MISSING_ACCOUNT', reason: 'no such account' } as const
    const state = runState([begun('a'), { ...begun('b'), injections: 1 }])
    const next = reduce(state, { fact: 'prepare-failed', task: 'a', trouble, fatal: true, at: 2 })
    expect(verdicts(over(next))).toEqual(['Error', 'Stopped'])
  })
})
