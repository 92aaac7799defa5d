import { describe, expect, it } from 'vitest'
import { parseTaints, sameTaint, taintText, withTaint } from './taints.ts'

const a = { key: 'a', value: '1', effect: 'NoSchedule' }
const b = { key: 'b', effect: 'NoExecute', timeAdded: '2026-01-01T00:00:00Z' }

describe('taints', () => {
  it.each([
    ['a=1:NoSchedule', [a]],
    [' a=1:noschedule , b:NoExecute', [a, { key: 'b', effect: 'NoExecute' }]],
    ['x.io/a=:NoSchedule', [{ key: 'x.io/a', effect: 'NoSchedule' }]],
    ['', []],
  ])('%s is read', (text, taints) => {
    expect(parseTaints(text, 'TAINTS')).toEqual(taints)
  })

  it.each([
    ['a', /not an effect/],
    ['a=1', /not an effect/],
    ['a:Never', /one of NoSchedule, PreferNoSchedule, NoExecute/],
    [':NoSchedule', /not the key/],
    ['a=ü:NoSchedule', /not the value/],
    ['a=1:NoSchedule,a=2:NoSchedule', /twice/],
  ])('%s is refused', (text, why) => {
    expect(() => parseTaints(text, 'TAINTS')).toThrow(why)
  })

  it('is the same without the moment at which it was added', () => {
    expect(sameTaint(b, { key: 'b', effect: 'NoExecute', value: '' })).toBe(true)
    expect(sameTaint(a, { ...a, value: '2' })).toBe(false)
    expect(sameTaint(null, a)).toBe(false)
    expect([a, b].map(taintText)).toEqual(['a=1:NoSchedule', 'b:NoExecute'])
  })

  it('is put, replaced and taken away in its place', () => {
    const other = { ...a, value: '2' }
    expect(withTaint([b], a, a)).toEqual([b, a])
    expect(withTaint([a, b], a, other)).toEqual([other, b])
    expect(withTaint([other, b], a, a)).toEqual([a, b])
    expect(withTaint([a, b], a, null)).toEqual([b])
    expect(withTaint([b], a, null)).toEqual([b])
  })
})
