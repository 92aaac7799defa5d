import { expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import type { RunState } from '../../model/state.ts'
import type { FactBody } from '../engine/fact.ts'
import { pauseOf } from '../engine/pause.ts'
import { reduce } from '../engine/reduce.ts'
import { planOf, probeState, runState, shapeOf, taskPlan, taskState } from '../engine/testing.ts'
import type { HttpReading } from '../probes/probe-io.ts'
import { httpPlan, probeIo } from '../probes/test-plans.ts'
import type { Actor } from './actor.ts'
import { watch } from './probe.ts'

const plan = planOf([taskPlan('t')])
const probeOf = (initialDelayMs: number) =>
  httpPlan(
    { responseCode: { criteria: '==', value: '200' } },
    { mode: 'Continuous', pollingMs: 100, initialDelayMs },
  )
const probe = probeOf(0)
const begun = (evaluations = 0): RunState =>
  runState([
    taskState('t', {
      stage: 'chaos',
      prepared: true,
      startedAt: 1,
      chaosAt: 1,
      probes: [probeState(probe.name, 'Continuous', { evaluations })],
    }),
  ])

/** Watches for a while; `end` says what ends it. Tells the state after all facts. */
async function watched(
  state: RunState,
  ms: number,
  end: (state: RunState) => FactBody[],
  of = probe,
) {
  const over = new AbortController()
  let now = state
  const emit = (body: FactBody) => {
    now = reduce(now, { at: 1000, ...body } as Parameters<typeof reduce>[1])
  }
  const answer: HttpReading = { kind: 'answer', status: 200, body: '', cut: false, tookMs: 1 }
  const io = probeIo({
    http: async (_, signal) => {
      signal.throwIfAborted()
      return answer
    },
  })
  const actor = {
    plan,
    clock: systemClock,
    state: () => now,
    probes: new Map([['t', [of]]]),
    probeIo: () => io,
    mask: (text: string) => text,
  } as unknown as Actor
  const action = { do: 'watch' as const, task: 't', probe: probe.name }
  const watching = watch(action, actor, { emit, signal: over.signal })
  await systemClock.sleep(ms, AbortSignal.timeout(10_000))
  for (const fact of end(now)) emit(fact)
  over.abort(new Error('no longer wanted'))
  await watching
  return now.tasks[0]?.probes[0]
}
const pause = (state: RunState): FactBody[] => [pauseOf('me', { plan, state, shapeOf })]
const chaosEnds = (): FactBody[] => [{ fact: 'moved', task: 't', to: 'reverting' }]

it('a pause ends no loop: what was seen is on record, and nothing is judged', async () => {
  const seen = await watched(begun(), 350, pause)
  expect(seen).toMatchObject({ verdict: 'Awaited' })
  expect(seen?.during).toBeUndefined()
  expect(seen?.evaluations).toBeGreaterThan(1)
})

it('also not when the run is resumed before the loop has heard of the pause', async () => {
  const seen = await watched(begun(), 50, (state) => [
    ...pause(state),
    { fact: 'resumed', by: 'me' },
  ])
  expect(seen?.during).toBeUndefined()
})

it('the end of chaos judges by all that was seen, before the pause and after it', async () => {
  const seen = await watched(begun(7), 250, chaosEnds)
  expect(seen).toMatchObject({ during: 'passed', verdict: 'Passed' })
  expect(seen?.description).toBe(`${seen?.evaluations} evaluations, all passed`)
  expect(seen?.evaluations).toBeGreaterThan(7)
})

it('what was seen before suffices when there is no time for one more; without it, it is an error', async () => {
  const late = probeOf(5000)
  expect(await watched(begun(7), 20, chaosEnds, late)).toMatchObject({ during: 'passed' })
  expect(await watched(begun(), 20, chaosEnds, late)).toMatchObject({ during: 'error' })
})
