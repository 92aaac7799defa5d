import { describe, expect, it } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import { systemClock } from '../../lib/clock.ts'
import { evaluateProbe } from './evaluate.ts'
import type { HttpReading, HttpSampler, ProbeIo } from './probe-io.ts'
import { commandPlan, httpPlan, k8sPlan, probeIo } from './test-plans.ts'

/** A clock that notes what was waited for and does not wait. */
function noting(): Clock & { slept: number[] } {
  const slept: number[] = []
  return {
    slept,
    now: () => 0,
    async sleep(ms, signal) {
      signal.throwIfAborted()
      slept.push(ms)
    },
  }
}

const answer = (status: number): HttpReading => ({
  kind: 'answer',
  status,
  body: '',
  cut: false,
  tookMs: 1,
})
const ok = { responseCode: { criteria: '==', value: '200' } }
const never = new AbortController().signal

/** Answers from a list, the last one for ever. */
function answering(...readings: HttpReading[]): HttpSampler & { asked(): number } {
  let asked = 0
  const sample: HttpSampler = async () => {
    const reading = readings[Math.min(asked, readings.length - 1)]
    asked += 1
    if (!reading) throw new Error('no reading was given')
    return reading
  }
  return Object.assign(sample, { asked: () => asked })
}

describe('one evaluation', () => {
  it('tries until one passes, interval apart, after one initial delay', async () => {
    const clock = noting()
    const http = answering(answer(500), { kind: 'unreachable', why: 'x' }, answer(200))
    const plan = httpPlan(ok, { attempts: 5, intervalMs: 70, initialDelayMs: 900 })
    const seen = await evaluateProbe(plan, probeIo({ http, clock }), never)
    expect(seen).toMatchObject({ outcome: 'passed', tries: 3 })
    expect(clock.slept).toEqual([900, 70, 70])
  })

  it('tells every try to who wants to hear them', async () => {
    const http = answering(answer(500), answer(200))
    const heard: string[] = []
    const onTry: ProbeIo['onTry'] = ({ outcome }, tries) => void heard.push(`${tries} ${outcome}`)
    await evaluateProbe(httpPlan(ok, { attempts: 3 }), probeIo({ http, onTry }), never)
    expect(heard).toEqual(['1 failed', '2 passed'])
  })

  it('gives the last outcome when the tries are used up', async () => {
    const clock = noting()
    const http = answering({ kind: 'impossible', why: 'x' }, answer(503))
    const plan = httpPlan(ok, { attempts: 2 })
    const seen = await evaluateProbe(plan, probeIo({ http, clock }), never)
    expect(seen).toMatchObject({ outcome: 'failed', tries: 2 })
    expect(seen.detail).toMatch(/503/)
  })

  it('tries an error again as it tries a failure again', async () => {
    const http = answering({ kind: 'impossible', why: 'x' }, answer(200))
    const plan = httpPlan(ok, { attempts: 2 })
    const io = probeIo({ http, clock: noting() })
    expect(await evaluateProbe(plan, io, never)).toMatchObject({ outcome: 'passed', tries: 2 })
  })

  it('takes 0 attempts for one', async () => {
    const http = answering(answer(500))
    const io = probeIo({ http, clock: noting() })
    const seen = await evaluateProbe(httpPlan(ok, { attempts: 0 }), io, never)
    expect(seen).toMatchObject({ outcome: 'failed', tries: 1 })
  })

  it.each([
    ['HTTP_PROBE_ERROR', httpPlan({ url: 'nowhere' }, { attempts: 9, initialDelayMs: 9 })],
    ['CMD_PROBE_ERROR', commandPlan({ command: ' ' }, { attempts: 9, initialDelayMs: 9 })],
    ['K8S_PROBE_ERROR', k8sPlan({ resource: 'Pod' }, { attempts: 9, initialDelayMs: 9 })],
  ])('says %s at once when the inputs can never be evaluated', async (code, plan) => {
    const clock = noting()
    const seen = await evaluateProbe(plan, probeIo({ clock }), never)
    expect(seen).toMatchObject({ outcome: 'error', tries: 0, trouble: { code } })
    expect(clock.slept).toEqual([])
  })

  it.each([
    ['HTTP_PROBE_ERROR', httpPlan()],
    ['CMD_PROBE_ERROR', commandPlan()],
    ['K8S_PROBE_ERROR', k8sPlan()],
  ])('turns a surprise into %s, not into a failure', async (code, plan) => {
    const seen = await evaluateProbe(plan, probeIo({ clock: noting() }), never)
    expect(seen).toMatchObject({ outcome: 'error', tries: 1, trouble: { code } })
    expect(seen.detail).toMatch(/this test did not expect/)
  })

  const hanging = async (_: unknown, signal: AbortSignal): Promise<never> =>
    await new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  const commands = {
    warm() {},
    prepare: async () => {},
    run: (inputs: unknown, { signal }: { signal: AbortSignal }) => hanging(inputs, signal),
    close: async () => {},
  }
  const kube = {
    get: (path: unknown, { signal }: { signal: AbortSignal }) => hanging(path, signal),
    find: (path: unknown, { signal }: { signal: AbortSignal }) => hanging(path, signal),
  }

  it.each([
    ['failed', 'HTTP_PROBE_FAILURE', httpPlan({}, { timeoutMs: 30 })],
    ['failed', 'PROBE_TIMEOUT', commandPlan({}, { timeoutMs: 30 })],
    ['error', 'K8S_PROBE_ERROR', k8sPlan({}, { timeoutMs: 30 })],
  ])('is %s (%s) when a try has no reading in time', async (outcome, code, plan) => {
    const io = probeIo({ http: hanging, commands, kube, clock: systemClock })
    const seen = await evaluateProbe(plan, io, never)
    expect(seen).toMatchObject({ outcome, trouble: { code } })
    expect(seen.detail).toMatch(/within 30 ms/)
  })

  it.each([
    ['in the initial delay', httpPlan(ok, { initialDelayMs: 60_000 })],
    ['in a try', httpPlan(ok, { timeoutMs: 60_000 })],
  ])('rejects with the reason when it is called off %s', async (_, plan) => {
    const off = new AbortController()
    const going = evaluateProbe(plan, probeIo({ http: hanging }), off.signal)
    off.abort(new Error('run aborted'))
    await expect(going).rejects.toThrow('run aborted')
  })

  it('rejects with the reason when it is called off between tries', async () => {
    const off = new AbortController()
    const http: HttpSampler = async () => {
      setImmediate(() => off.abort(new Error('run aborted')))
      return answer(500)
    }
    const plan = httpPlan(ok, { attempts: 2, intervalMs: 60_000 })
    await expect(evaluateProbe(plan, probeIo({ http }), off.signal)).rejects.toThrow('run aborted')
  })
})
