import { expect, it } from 'vitest'
import { target, taskPlan } from '../engine/testing.ts'
import { mustFit } from './actor.ts'

const many = (n: number, state: 'targeted' | 'injected' | 'reverted' = 'targeted') =>
  Array.from({ length: n }, (_, i) => target(`${state}-${i}`, { state }))

it('lets as many targets pass as status has room for', () => {
  expect(() => mustFit(taskPlan('a'), [], many(200))).not.toThrow()
  expect(() => mustFit(taskPlan('a'), many(500, 'reverted'), many(200))).not.toThrow()
})

it('hits nothing that cannot be recorded', () => {
  expect(() => mustFit(taskPlan('a'), [], many(201))).toThrow(/201 targets at once; status keeps/)
  expect(() => mustFit(taskPlan('a'), many(150, 'injected'), many(51))).toThrow(
    /150 of earlier rounds are still going/,
  )
})
