import fc from 'fast-check'
import { expect, it } from 'vitest'
import { sample, seededChance } from './chance.ts'
import { distance, nearest } from './suggest.ts'

it('gives the same sequence for the same seed and text, and another for another', () => {
  const take = (seed: number, text: string): number[] => {
    const chance = seededChance(seed, text)
    return Array.from({ length: 20 }, () => chance())
  }
  expect(take(1, 'a')).toEqual(take(1, 'a'))
  expect(take(1, 'a')).not.toEqual(take(2, 'a'))
  expect(take(1, 'a')).not.toEqual(take(1, 'b'))
  expect(take(1, 'a').every((n) => n >= 0 && n < 1)).toBe(true)
})

it('samples without replacement, and only what is there', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer()), fc.nat(50), fc.nat(), (members, count, seed) => {
      const taken = sample(members, count, seededChance(seed, ''))
      expect(taken.length).toBe(Math.min(count, members.length))
      expect(new Set(taken).size).toBe(taken.length)
      expect(taken.every((t) => members.includes(t))).toBe(true)
    }),
  )
})

it('chooses every member about equally often', () => {
  const hits = new Map<string, number>()
  const members = ['a', 'b', 'c', 'd', 'e']
  for (let seed = 0; seed < 5000; seed++)
    for (const m of sample(members, 2, seededChance(seed, 'x'))) hits.set(m, (hits.get(m) ?? 0) + 1)
  for (const m of members) expect(Math.abs((hits.get(m) ?? 0) - 2000)).toBeLessThan(200)
})

it('knows near words', () => {
  expect(distance('abcd', 'acbd')).toBe(1)
  expect(nearest('pod_delet', ['pod-delete', 'pod-cpu-hog'])).toBe('pod-delete')
  expect(nearest('VALUE', ['name', 'value'])).toBe('value')
  expect(nearest('JAVA_HOME', ['CPU_CORES', 'CPU_LOAD'])).toBe(null)
})
