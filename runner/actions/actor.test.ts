import { expect, it } from 'vitest'
import type { TargetState } from '../../model/state.ts'
import { runState, target, taskState } from '../engine/testing.ts'
import { mustFit } from './actor.ts'

type State = 'targeted' | 'injected' | 'reverted'
const many = (n: number, state: State = 'targeted', over: Partial<TargetState> = {}) =>
  Array.from({ length: n }, (_, i) => target(`${state}-${i}`, { state, ...over }))
const withTargets = (targets: TargetState[], room = 900_000) => ({
  state: () => runState([taskState('a', { targets }), taskState('b')]),
  room,
})

it('lets as many targets pass as status has room for', () => {
  expect(() => mustFit(withTargets([]), 'a', many(200))).not.toThrow()
  expect(() => mustFit(withTargets(many(500, 'reverted')), 'a', many(200))).not.toThrow()
})

it('hits nothing that cannot be recorded', () => {
  expect(() => mustFit(withTargets([]), 'a', many(201))).toThrow(
    /201 targets at once; status keeps/,
  )
  expect(() => mustFit(withTargets(many(150, 'injected')), 'a', many(51))).toThrow(
    /150 of earlier rounds still count/,
  )
})

it('counts the bytes of all tasks, and of what is recorded about each target', () => {
  const held = withTargets(many(100, 'injected'), 150_000)
  expect(() => mustFit(held, 'b', many(30))).not.toThrow()
  expect(() => mustFit(held, 'b', many(199))).toThrow(/status would take \d+ bytes, and 150000/)
  const undo = { before: 'x'.repeat(2000) }
  expect(() => mustFit(held, 'b', many(50, 'targeted', { undo }))).toThrow(/status would take/)
  // records as they are now take the place of those that stand there
  const again = withTargets(many(150, 'targeted'), 900_000)
  expect(() => mustFit(again, 'a', many(150, 'targeted', { undo }))).not.toThrow()
})

it('forgets nobody whom a dynamic task has hit, and hits no more than it can remember', () => {
  const task = taskState('a', { dynamic: true, targets: many(150, 'reverted') })
  const actor = { state: () => runState([task]), room: 900_000 }
  expect(() => mustFit(actor, 'a', many(50))).not.toThrow()
  expect(() => mustFit(actor, 'a', many(51))).toThrow(/status keeps the records of 200/)
})
