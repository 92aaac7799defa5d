import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesOf, fitted, leastBytes, maxRunBytes, roomFor } from './snapshot.ts'
import {
  isEnded,
  type ProbeState,
  type RunState,
  runStateSchema,
  type TargetState,
  type TaskState,
  targetStates,
} from './state.ts'
import { runState, targetState, taskState } from './testing.ts'

const target = (id: string, over: Partial<TargetState> = {}): TargetState =>
  targetState(id, { state: 'reverted', ...over })
const probe = (name: string, over: Partial<ProbeState> = {}): ProbeState => ({
  name,
  type: 'httpProbe',
  mode: 'SOT',
  verdict: 'Awaited',
  description: '',
  evaluations: 0,
  ...over,
})
const task = (name: string, over: Partial<TaskState> = {}): TaskState =>
  taskState(name, { fault: 'pod-delete', stage: 'done', prepared: true, wave: 1, ...over })
const run = (tasks: TaskState[], over: Partial<RunState> = {}): RunState =>
  runState(tasks, { runner: 'p', startedAt: 1, ...over })

const text = (max: number) => fc.string({ maxLength: max })
const anyTarget: fc.Arbitrary<TargetState> = fc
  .record({
    id: fc.uuid(),
    wave: fc.nat(3),
    state: fc.constantFrom(...targetStates),
    at: fc.nat(1000),
    evidence: text(400),
    undo: fc.option(fc.dictionary(fc.string(), text(50)), { nil: undefined }),
    remaining: fc.array(text(300), { maxLength: 8 }),
  })
  .map(({ id, wave, state, at, evidence, undo, remaining }) =>
    target(id, {
      wave,
      state,
      revertedAt: at + 1,
      evidence,
      proof: evidence,
      remaining,
      ...(undo && !isEnded({ state } as TargetState) ? { undo } : {}),
    }),
  )
const anyTask = fc
  .record({
    name: fc.uuid(),
    targets: fc.array(anyTarget, { maxLength: 12 }),
    probes: fc.array(text(500), { maxLength: 4 }),
    stage: fc.constantFrom('chaos' as const, 'reverting' as const, 'done' as const),
    wave: fc.nat(3),
    pods: fc.constantFrom<string[]>([], ['p']),
    reason: text(1500),
    dropped: fc.option(fc.nat(5), { nil: undefined }),
  })
  .map(({ probes, reason, dropped, name, ...rest }) =>
    task(name, {
      ...rest,
      probes: probes.map((description, i) => probe(`p${i}`, { description, pre: 'failed' })),
      trouble: { code: 'GENERIC_ERROR', reason },
      ...(dropped === undefined ? {} : { dropped }),
    }),
  )
const anyRun = fc.array(anyTask, { minLength: 1, maxLength: 6 }).map((tasks) => run(tasks))

/** All but the texts that may be cut. */
const facts = ({ evidence: _, proof: __, remaining: ___, ...rest }: TargetState) => rest

describe('the record of a run within so many bytes', () => {
  it('keeps within them, whatever is in it, as soon as its least fits', () =>
    fc.assert(
      fc.property(anyRun, fc.nat(20_000), (state, bytes) => {
        const stored = fitted(state, bytes)
        if (bytesOf(fitted(state, 0)) <= bytes) expect(bytesOf(stored)).toBeLessThanOrEqual(bytes)
        expect(runStateSchema.safeParse(stored).success).toBe(true)
        expect(fitted(stored, bytes)).toEqual(stored)
      }),
    ))

  it('keeps every open record and every outcome, and counts what it drops', () =>
    fc.assert(
      fc.property(anyRun, fc.nat(20_000), (state, bytes) => {
        const stored = fitted(state, bytes)
        state.tasks.forEach((before, i) => {
          const after = stored.tasks[i] as TaskState
          const open = before.targets.filter((t) => !isEnded(t)).map(facts)
          expect(after.targets.map(facts)).toEqual(expect.arrayContaining(open))
          expect(after.targets.length + (after.dropped ?? 0)).toBe(
            before.targets.length + (before.dropped ?? 0),
          )
          expect(after.probes.map((p) => [p.name, p.pre, p.verdict])).toEqual(
            before.probes.map((p) => [p.name, p.pre, p.verdict]),
          )
          expect(after.trouble?.code).toBe(before.trouble?.code)
        })
      }),
    ))

  it('touches nothing of what fits', () =>
    fc.assert(
      fc.property(anyRun, (state) => {
        expect(fitted(state, bytesOf(state))).toBe(state)
      }),
    ))

  it.each([
    ['of the wave that is under way', { stage: 'chaos' as const, wave: 0 }],
    ['whose fault pod is still there', { pods: ['p'] }],
    ['of a dynamic task that still looks for others', { stage: 'chaos' as const, dynamic: true }],
  ])('drops no record %s: a runner that takes over decides by it', (_name, over) => {
    const state = run([task('a', { ...over, targets: [target('x')] })])
    expect(fitted(state, 0).tasks[0]?.targets.map((t) => t.id)).toEqual(['x'])
  })

  it('drops the oldest first', () => {
    const targets = [3, 1, 2].map((at) => target(`t${at}`, { revertedAt: at }))
    const state = run([task('a', { targets })])
    const stored = fitted(state, bytesOf(state) - 1)
    expect(stored.tasks[0]).toMatchObject({ dropped: 1, targets: [{ id: 't3' }, { id: 't2' }] })
  })

  it('of the most tasks with the most targets and long texts is small enough', () => {
    const long = 'x'.repeat(500)
    const full = (i: number): TaskState => {
      const targets = Array.from({ length: 200 }, (_, n) =>
        target(`namespace-${i}/pod-with-a-name-${n}`, { evidence: long, proof: long }),
      )
      const probes = Array.from({ length: 10 }, (_, n) => probe(`p${n}`, { description: long }))
      return task(`task-${i}`, { targets, probes })
    }
    const state = run(Array.from({ length: 100 }, (_, i) => full(i)))
    expect(bytesOf(state)).toBeGreaterThan(20_000_000)
    const stored = fitted(state, maxRunBytes)
    expect(bytesOf(stored)).toBeLessThanOrEqual(maxRunBytes)
    const kept = stored.tasks.flatMap((t) => t.targets).length
    expect(stored.tasks.reduce((sum, t) => sum + (t.dropped ?? 0), 0)).toBe(20_000 - kept)
  })
})

it('what is still to come of a record counts beforehand', () => {
  const open = run([task('a', { stage: 'chaos', targets: [target('x', { state: 'targeted' })] })])
  const grown = run([
    task('a', {
      stage: 'reverting',
      startedAt: 1,
      stageAt: 1,
      chaosAt: 1,
      pods: ['fault-pod-of-this-task-0123456789-1'],
      acknowledged: { 'node-with-a-name.example': 12 },
      trouble: { code: 'CHAOS_REVERT_ERROR', reason: 'x'.repeat(2000) },
      targets: [
        target('x', {
          state: 'owed',
          injectedAt: 1_700_000_000_000,
          endsAt: 1_700_000_000_000,
          evidence: 'x'.repeat(500),
          remaining: Array.from({ length: 20 }, () => 'x'.repeat(900)),
        }),
      ],
    }),
  ])
  expect(bytesOf(fitted(grown, 0))).toBeLessThanOrEqual(leastBytes(open))
})

it('a large document leaves less room', () => {
  expect(roomFor({ spec: {} })).toBe(maxRunBytes)
  expect(roomFor({ spec: 'x'.repeat(400_000) })).toBeLessThan(300_000)
  expect(roomFor({ spec: 'x'.repeat(1_400_000) })).toBe(0)
})
