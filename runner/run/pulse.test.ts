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
