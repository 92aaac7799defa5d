import { describe, expect, it } from 'vitest'
import { KubeError } from './errors.ts'
import { type Repeatable, waitBeforeRetry } from './retry.ts'

const answer = (status: number, retryAfterMs?: number) =>
  new KubeError({ status, reason: '', message: '', retryAfterMs })
const lost = (code: string) =>
  new KubeError({
    status: 0,
    reason: 'Unreachable',
    message: '',
    cause: Object.assign(new Error(code), { code }),
  })

const cases: [string, KubeError, Record<Repeatable, boolean>][] = [
  ['429', answer(429, 1000), { always: true, 'if-lost': true, 'if-refused': true }],
  [
    '503 with Retry-After',
    answer(503, 1000),
    { always: true, 'if-lost': true, 'if-refused': true },
  ],
  ['503 without', answer(503), { always: true, 'if-lost': true, 'if-refused': false }],
  ['500', answer(500), { always: true, 'if-lost': false, 'if-refused': false }],
  ['reset', lost('ECONNRESET'), { always: true, 'if-lost': true, 'if-refused': false }],
  ['refused', lost('ECONNREFUSED'), { always: true, 'if-lost': true, 'if-refused': true }],
  ['403', answer(403), { always: false, 'if-lost': false, 'if-refused': false }],
  ['409', answer(409), { always: false, 'if-lost': false, 'if-refused': false }],
]

describe.each(cases)('after %s', (_name, error, expected) => {
  it.each(Object.entries(expected))('a call that may be repeated %s: %s', (repeatable, again) => {
    const how = { repeatable: repeatable as Repeatable, attempt: 0, random: () => 0 }
    expect(waitBeforeRetry(error, how) !== undefined).toBe(again)
  })
})

it('Retry-After is the least wait', () => {
  const how = { repeatable: 'always', attempt: 0, random: () => 0 } as const
  expect(waitBeforeRetry(answer(429, 3_000), how)).toBe(3_000)
  expect(waitBeforeRetry(answer(500), how)).toBe(50)
})

it('a server that does not answer at all is asked again within a second, however long it has been away', () => {
  const how = { repeatable: 'always', attempt: 50, random: () => 1 } as const
  expect(waitBeforeRetry(lost('ECONNREFUSED'), how)).toBe(1_000)
  expect(waitBeforeRetry(answer(500), how)).toBe(5_000)
})
