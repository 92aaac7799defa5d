import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import type { ProbeOutcome } from '../../model/probe.ts'
import { watchProbe } from './loop.ts'
import type { HttpReading, HttpSampler } from './probe-io.ts'
import { httpPlan, probeIo } from './test-plans.ts'

type Word = ProbeOutcome['outcome']
const readings: Record<Word, HttpReading> = {
  passed: { kind: 'answer', status: 200, body: '', cut: false, tookMs: 1 },
  failed: { kind: 'unreachable', why: 'refused' },
  error: { kind: 'impossible', why: 'no.' },
}
const ok = { responseCode: { criteria: '==', value: '200' } }

/** A world that gives one reading per evaluation and ends chaos when there are no more. */
function world(words: Word[]) {
  const over = new AbortController()
  const slept: number[] = []
  let next = 0
  const http: HttpSampler = async (_, signal) => {
    const word = words[next++]
    if (word === undefined) over.abort(new Error('chaos is over'))
    signal.throwIfAborted()
    return readings[word ?? 'error']
  }
  const clock: Clock = {
    now: () => 0,
    async sleep(ms, signal) {
      signal.throwIfAborted()
      slept.push(ms)
    },
  }
  return { io: probeIo({ http, clock }), signal: over.signal, slept }
}

async function watched(mode: 'Continuous' | 'OnChaos' | 'AbortWhen', words: Word[]) {
  const { io, signal, slept } = world(words)
  const heard: Word[] = []
  const plan = httpPlan(ok, { mode, pollingMs: 700, initialDelayMs: 40 })
  const onOutcome = ({ outcome }: { outcome: Word }) => void heard.push(outcome)
  const end = await watchProbe(plan, io, { signal, onOutcome })
  return { end: end?.outcome ?? null, detail: end?.detail, heard, slept }
}

describe('a Continuous or OnChaos probe', () => {
  it('is evaluated until chaos is over, polling apart, after one initial delay', async () => {
    const seen = await watched('Continuous', ['passed', 'passed', 'passed'])
    expect(seen).toMatchObject({ end: null, heard: ['passed', 'passed', 'passed'] })
    expect(seen.slept).toEqual([40, 700, 700, 700])
  })

  it('stops at its first failure', async () => {
    const seen = await watched('OnChaos', ['passed', 'failed', 'passed'])
    expect(seen).toMatchObject({ end: 'failed', heard: ['passed', 'failed'] })
  })

  it('stops at its first error', async () => {
    const seen = await watched('Continuous', ['passed', 'error', 'passed'])
    expect(seen).toMatchObject({ end: 'error', heard: ['passed', 'error'] })
  })

  it('does not pass when it was never evaluated', async () => {
    const seen = await watched('OnChaos', [])
    expect(seen).toMatchObject({ end: 'error', heard: [] })
    expect(seen.detail).toMatch(/was not evaluated before its time was over/)
  })

  it('ends by its own limit although nobody ends it', async () => {
    const http: HttpSampler = async () => readings.passed
    const plan = httpPlan(ok, { mode: 'OnChaos', pollingMs: 100 })
    const never = new AbortController().signal
    let heard = 0
    const onOutcome = () => void heard++
    expect(
      await watchProbe(plan, probeIo({ http }), { signal: never, onOutcome, limitMs: 150 }),
    ).toBe(null)
    expect(heard).toBeGreaterThan(0)
  })

  it('is not asked without a pause', async () => {
    const { io, signal, slept } = world(['passed', 'passed'])
    await watchProbe(httpPlan(ok, { mode: 'Continuous', pollingMs: 0 }), io, {
      signal,
      onOutcome() {},
    })
    expect(Math.min(...slept)).toBeGreaterThanOrEqual(100)
  })

  it('rejects when its listener throws, instead of going on unheard', async () => {
    const { io, signal } = world(['passed'])
    const onOutcome = (): never => {
      throw new Error('deaf')
    }
    await expect(watchProbe(httpPlan(ok), io, { signal, onOutcome })).rejects.toThrow('deaf')
  })
})

describe('an abort condition', () => {
  it('ends with passed when the bad state came true', async () => {
    const seen = await watched('AbortWhen', ['failed', 'failed', 'passed', 'failed'])
    expect(seen).toMatchObject({ end: 'passed', heard: ['failed', 'failed', 'passed'] })
  })

  it('ends with nothing to say when it never did', async () => {
    expect(await watched('AbortWhen', ['failed', 'failed'])).toMatchObject({ end: null })
  })

  it('tells an error and stays on guard', async () => {
    const seen = await watched('AbortWhen', ['error', 'failed', 'error', 'passed'])
    expect(seen).toMatchObject({ end: 'passed', heard: ['error', 'failed', 'error', 'passed'] })
  })

  it('ends with the error when it could never be evaluated', async () => {
    expect(await watched('AbortWhen', ['error', 'error'])).toMatchObject({ end: 'error' })
  })

  it('ends at once when its inputs can never be evaluated', async () => {
    const plan = httpPlan({ url: 'nowhere' }, { mode: 'AbortWhen' })
    const { io, signal } = world([])
    const end = await watchProbe(plan, io, { signal, onOutcome() {} })
    expect(end).toMatchObject({ outcome: 'error', trouble: { code: 'HTTP_PROBE_ERROR' } })
  })
})

describe('for any course of things', () => {
  const words = fc.array(fc.constantFrom<Word>('passed', 'failed', 'error'), { maxLength: 12 })

  it('a loop ends with the first outcome that is not passed', () =>
    fc.assert(
      fc.asyncProperty(words, async (course) => {
        const { end, heard } = await watched('Continuous', course)
        const at = course.findIndex((word) => word !== 'passed')
        expect(heard).toEqual(at < 0 ? course : course.slice(0, at + 1))
        expect(end).toBe(course.length === 0 ? 'error' : at < 0 ? null : course[at])
      }),
    ))

  it('an abort condition ends with the first passed', () =>
    fc.assert(
      fc.asyncProperty(words, async (course) => {
        const { end, heard } = await watched('AbortWhen', course)
        const at = course.indexOf('passed')
        expect(heard).toEqual(at < 0 ? course : course.slice(0, at + 1))
        const blind = course.every((word) => word === 'error')
        expect(end).toBe(at >= 0 ? 'passed' : blind ? 'error' : null)
      }),
    ))
})
