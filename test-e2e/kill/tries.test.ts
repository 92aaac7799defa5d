import { expect, it } from 'vitest'
import type { Wrong } from './judge.ts'
import { Tries } from './tries.ts'

const late: Wrong = { kind: 'time', text: 'a was clean late' }
const left: Wrong = { kind: 'truth', text: 'left: pod x' }

it('a second try makes up for what was late', () => {
  const tries = new Tries()
  expect(tries.begin('one')).toBe(0)
  tries.note('one', { wrong: [late] })
  expect(tries.forGood('one')).toEqual([])
  expect(tries.begin('one')).toBe(1)
  tries.note('one', { wrong: [] })
  expect(tries.again()).toEqual(['one (a was clean late)'])
})

it('and not for what is untrue, however the second one goes', () => {
  const tries = new Tries()
  tries.begin('one')
  tries.note('one', { wrong: [late, left] })
  tries.begin('one')
  tries.note('one', { wrong: [] })
  expect(tries.forGood('one')).toEqual(['left: pod x'])
  expect(tries.again()).toEqual(['one (a was clean late; left: pod x)'])
})

it('of a first try in which the test itself failed nothing is known, and that is said', () => {
  const tries = new Tries()
  tries.begin('one')
  tries.note('one', { threw: 'no process guard.sh' })
  tries.begin('one')
  tries.note('one', { wrong: [left] })
  expect(tries.forGood('one')).toEqual([])
  expect(tries.again()).toEqual([
    'one (what its cases did is unknown, as the test itself ended: no process guard.sh)',
  ])
})

it('what passes at once is not told of', () => {
  const tries = new Tries()
  tries.begin('one')
  tries.note('one', { wrong: [] })
  expect(tries.again()).toEqual([])
})
