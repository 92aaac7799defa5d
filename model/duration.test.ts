import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BadDuration, formatDuration, longestMs, parseDuration } from './duration.ts'

const good: [unknown, number][] = [
  ['1h30m', 5_400_000],
  ['1.5s', 1500],
  ['100ms', 100],
  ['30s', 30_000],
  [30, 30_000],
  ['30', 30_000],
  [' 2 ', 2000],
  ['0.5', 500],
  ['.5s', 500],
  ['2m0.25s', 120_250],
  ['1500us', 2],
  ['1500µs', 2],
  ['0', 0],
]

const bad: [unknown, string][] = [
  ['', 'empty'],
  ['-3s', 'negative'],
  [-3, 'negative'],
  ['3 s', 'number with a unit'],
  ['3d', 'number with a unit'],
  ['s', 'number with a unit'],
  ['1h30', 'at "30"'],
  ['1e3', 'number with a unit'],
  [Number.NaN, 'number with a unit'],
  ['600h', '576h'],
  [null, 'number or a text'],
  [{}, 'number or a text'],
]

describe('durations', () => {
  it.each(good)('reads %j as %d ms', (value, ms) => expect(parseDuration(value)).toBe(ms))

  it.each(bad)('refuses %j and says why (%s)', (value, why) => {
    expect(() => parseDuration(value)).toThrow(BadDuration)
    expect(() => parseDuration(value)).toThrow(why)
  })

  it('reads back what it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: longestMs }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms)
      }),
    )
  })

  it('reads any text as a bounded number or refuses it, and never throws anything else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.hms]{1,12}$/)), (text) => {
        try {
          const ms = parseDuration(text)
          expect(Number.isInteger(ms) && ms >= 0 && ms <= longestMs).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(BadDuration)
        }
      }),
    )
  })
})
