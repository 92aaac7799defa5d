import fc from 'fast-check'
import { expect, it } from 'vitest'
import { runStateSchema } from '../../model/state.ts'
import { decide } from './decide.ts'
import type { Fact, FactBody } from './fact.ts'
import { isEnded, reduce } from './reduce.ts'
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
