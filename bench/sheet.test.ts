import { expect, it } from 'vitest'
import { percentile } from './sheet.ts'

it('of a hundred values the 99th percentile is the last but one, of ten the greatest', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i)
  expect(percentile(values, 99)).toBe(99)
  expect(percentile(values, 50)).toBe(50)
  expect(percentile(values.slice(0, 10), 99)).toBe(100)
})
