import { describe, expect, it } from 'vitest'
import { courseOf, grows } from './memory.ts'

const course = (minutes: number, mb: (minute: number) => number, pid = 1) =>
  Array.from({ length: minutes * 12 }, (_, i) => ({ at: i * 5_000, pid, mb: mb(i / 12) }))

describe('memory of a process', () => {
  it('that levels off is flat', () => {
    const found = courseOf(course(10, (m) => 80 - 10 * Math.exp(-m)))
    expect(found && grows(found)).toBe(false)
    expect(found?.start).toBe(70)
  })

  it('that goes up by 3 MB a minute grows, and the slope says so', () => {
    const found = courseOf(course(10, (m) => 70 + 3 * m))
    expect(found && grows(found)).toBe(true)
    expect(found?.slope).toBeCloseTo(3)
  })

  it('is that of the one that lives at the end', () => {
    const late = course(6, () => 60, 2).map((s) => ({ ...s, at: s.at + 600_000 }))
    const found = courseOf([...course(10, (m) => 70 + 9 * m), ...late])
    expect(found?.quarters).toEqual([60, 60, 60, 60])
    expect(found?.minutes).toBeCloseTo(6, 0)
  })

  it('that was looked at too seldom is not told', () => {
    expect(courseOf(course(1, () => 70).slice(0, 5))).toBeUndefined()
  })
})
