import { expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { Gate } from './gate.ts'
import { Pulse } from './pulse.ts'

/** A gate, its pulse, and how often it was asked who holds the run; `answers` fail first. */
function stand(failures: Error[] = []) {
  const time = { now: 0 }
  const asked: number[] = []
  const pulse = new Pulse(() => time.now, 2500)
  const beatAt = (ms: number): void => {
    time.now = ms
    pulse.beaten(ms)
  }
  beatAt(0)
  const halt = new AbortController()
  const confirm = async (): Promise<void> => {
    asked.push(time.now)
    const failure = failures.shift()
    if (failure) throw failure
  }
  const parts = { pulse, clock: systemClock, log: silentLog(), halted: halt.signal, confirm }
  const gate = new Gate(parts)
  const pass = (): Promise<void> => gate.pass(AbortSignal.timeout(5000))
  return { beatAt, asked, pass, halt, time }
}

it('asks nobody while the pulse goes on', async () => {
  const { beatAt, asked, pass } = stand()
  await pass()
  for (const ms of [1500, 3000, 4500]) beatAt(ms)
  await pass()
  expect(asked).toEqual([])
})

it('asks once after a silence, also when that was over before the act was due', async () => {
  const { beatAt, asked, pass } = stand()
  for (const ms of [9000, 10_500]) beatAt(ms)
  await pass()
  await pass()
  expect(asked).toEqual([10_500])
  beatAt(20_000)
  await pass()
  expect(asked).toEqual([10_500, 20_000])
})

it('waits for a renewal before it asks', async () => {
  const { beatAt, asked, pass, time } = stand()
  time.now = 9000
  const passing = pass()
  await Promise.resolve()
  expect(asked).toEqual([])
  beatAt(9100)
  await passing
  expect(asked).toEqual([9100])
})

it('asks again when there was no answer, and ends with the run', async () => {
  const { beatAt, asked, pass, halt } = stand([new Error('no answer'), new Error('another has it')])
  beatAt(9000)
  const passing = pass()
  await expect.poll(() => asked.length).toBe(1)
  halt.abort(new Error('given up'))
  await expect(passing).rejects.toThrow('given up')
  expect(asked.length).toBe(2)
})
