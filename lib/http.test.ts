import { expect, it } from 'vitest'
import { outcomeOf, retryAfterMs } from './http.ts'

const reply = (status: number, headers: Record<string, string> = {}) => ({
  status,
  headers,
  text: 'because',
})

it.each([
  [200, 'delivered'],
  [204, 'delivered'],
  [301, 'forbidden'],
  [400, 'refused'],
  [401, 'forbidden'],
  [403, 'forbidden'],
  [404, 'refused'],
  [408, 'unavailable'],
  [413, 'refused'],
  [429, 'unavailable'],
  [500, 'unavailable'],
  [503, 'unavailable'],
] as const)('%i means %s', (status, kind) => {
  expect(outcomeOf(reply(status), 0).kind).toBe(kind)
})

it('reads Retry-After in both forms and ignores nonsense', () => {
  const now = Date.UTC(2026, 0, 1)
  expect(retryAfterMs('7', now)).toBe(7000)
  expect(retryAfterMs(new Date(now + 3000).toUTCString(), now)).toBe(3000)
  expect(retryAfterMs('soon', now)).toBeUndefined()
  expect(outcomeOf(reply(429, { 'retry-after': '2' }), now)).toMatchObject({ retryAfterMs: 2000 })
})
