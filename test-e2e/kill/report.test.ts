import { expect, it } from 'vitest'
import { pageOf } from './report.ts'
import type { Result } from './turn.ts'

const result = (wrong: Result['judged']['wrong']): Result => ({
  one: { fault: 'node-taint', moment: 'injected', victims: ['control plane', 'runner'] },
  judged: { wrong, ms: 120, clock: 'deadline' },
  story: '',
})
const whole = { seconds: 60, all: 2, again: [], leftOut: [] }

it('says what became of each victim, and of what was not survived', () => {
  const text = 'left: pod x'
  const page = pageOf([result([]), result([{ kind: 'truth', text }])], whole)
  expect(page).toContain('| control plane and runner | 2 | 1 | – | 120 ms | – |')
  expect(page).toContain('* control plane and runner; node-taint, injected: left: pod x')
  expect(page).toContain('the control plane, which is kserver and log-service')
  expect(page).not.toMatch(/Left out|second time/)
  expect(page).toContain('at each of its crash points in 48 runs')
  expect(page).toContain('`runner/removing`')
})

it('says what was left out, and what was tried a second time', () => {
  const again = ['runner: node-taint (a was clean late)']
  const page = pageOf([result([])], { ...whole, again, leftOut: ['pod-network-latency'] })
  expect(page).toContain('cannot do it: pod-network-latency, which needs netem.')
  expect(page).toContain('counts here: runner: node-taint (a was clean late). A second try')
})
