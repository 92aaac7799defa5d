import { expect, it } from 'vitest'
import { differences } from './leaks.ts'

it('what is left and what is missing is told, with how often', () => {
  expect(differences(['a', 'b', 'b', 'c'], ['a', 'b', 'd', 'd'])).toEqual([
    'missing: b',
    'missing: c',
    'left: d (2 times)',
  ])
})

it('the same in another order is no difference', () => {
  expect(differences(['a', 'b', 'a'], ['b', 'a', 'a'])).toEqual([])
})
