import { describe, expect, it } from 'vitest'
import { createSteadyClock } from './clock.ts'

const hour = 3_600_000

/** A machine whose wall clock can be set. */
function machine() {
  const time = { wall: 1_700_000_000_000, monotonic: 5000.25 }
  const clock = createSteadyClock({ wall: () => time.wall, monotonic: () => time.monotonic })
  const pass = (ms: number) => {
    time.wall += ms
    time.monotonic += ms
  }
  return { time, clock, pass }
}

describe('a steady clock', () => {
  it('begins at the wall time and goes on as time passes', () => {
    const { clock, pass } = machine()
    expect(clock.now()).toBe(1_700_000_000_000)
    pass(1500)
    expect(clock.now()).toBe(1_700_000_001_500)
  })

  it.each([hour, -hour])('does not follow the wall clock when it is set by %i ms', (step) => {
    const { clock, pass, time } = machine()
    pass(1000)
    time.wall += step
    expect(clock.now()).toBe(1_700_000_001_000)
    pass(1000)
    expect(clock.now()).toBe(1_700_000_002_000)
  })

  it.each([hour, -hour])('takes a step of %i ms when it is anchored', (step) => {
    const { clock, pass, time } = machine()
    time.wall += step
    clock.anchor()
    pass(1000)
    expect(clock.now()).toBe(1_700_000_001_000 + step)
  })

  it('gives whole milliseconds, as those who store them expect', () => {
    const { clock, pass } = machine()
    pass(0.4)
    expect(Number.isInteger(clock.now())).toBe(true)
  })
})
