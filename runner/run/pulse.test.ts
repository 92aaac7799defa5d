import { expect, it } from 'vitest'
import { Pulse } from './pulse.ts'

const at = () => {
  const time = { now: 0 }
  return { time, pulse: new Pulse(() => time.now, 2500) }
}

it('is fresh for a while after a renewal, counted from before it was sent', () => {
  const { time, pulse } = at()
  expect(pulse.isFresh).toBe(false)
  pulse.beaten(0)
  time.now = 2499
  expect(pulse.isFresh).toBe(true)
  time.now = 2500
  expect(pulse.isFresh).toBe(false)
})

it('counts the silences in which others may have taken the runner for dead', () => {
  const { time, pulse } = at()
  const beatAt = (ms: number): number => {
    time.now = ms
    pulse.beaten(ms)
    return pulse.gaps
  }
  // nothing was known of it before the first
  expect([0, 1500, 3900, 6500, 8000].map(beatAt)).toEqual([1, 1, 1, 2, 2])
  // its answer came late: by then the one before it was long over
  time.now = 12_000
  pulse.beaten(8100)
  expect(pulse.gaps).toBe(3)
})

it('lets wait for the next renewal', async () => {
  const { time, pulse } = at()
  time.now = 9000
  let went = false
  const waiting = pulse.next(AbortSignal.timeout(5000)).then(() => {
    went = true
  })
  // one whose answer came late says nothing about now
  pulse.beaten(1000)
  await Promise.resolve()
  expect(went).toBe(false)
  pulse.beaten(8999)
  await waiting
  expect(went).toBe(true)
})

it('hears an abort', async () => {
  const end = new AbortController()
  const waiting = at().pulse.next(end.signal)
  end.abort(new Error('handed over'))
  await expect(waiting).rejects.toThrow('handed over')
})
