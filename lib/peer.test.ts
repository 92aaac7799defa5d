import { describe, expect, it } from 'vitest'
import type { Clock } from './clock.ts'
import type { Outcome } from './http.ts'
import { silentLog } from './log.ts'
import { createPeer, type PeerSettings, waitAfter } from './peer.ts'

const settings: PeerSettings = {
  name: 'peer',
  minMs: 200,
  maxMs: 5000,
  forbiddenMs: 30_000,
  forbiddenHint: 'check the key',
}
const down: Outcome = { kind: 'unavailable', why: 'is away' }
const fine: Outcome = { kind: 'delivered', reply: { status: 200, headers: {}, text: '' } }

/** A clock that does not wait and writes down how long it was asked to. */
function quickClock(): Clock & { slept: number[] } {
  const slept: number[] = []
  return {
    slept,
    now: () => slept.reduce((sum, ms) => sum + ms, 0),
    async sleep(ms, signal) {
      slept.push(ms)
      await new Promise((resolve) => setImmediate(resolve))
      signal.throwIfAborted()
    },
  }
}
const peerWith = (clock: Clock) =>
  createPeer(settings, { clock, random: () => 1, log: silentLog() })
const never = new AbortController().signal

describe('waiting', () => {
  it('doubles from 0.2 s to 5 s, with at most half of it left to chance', () => {
    const waits = [1, 2, 3, 4, 5, 6, 60].map((n) => waitAfter(settings, n, down, () => 1))
    expect(waits).toEqual([200, 400, 800, 1600, 3200, 5000, 5000])
    expect(waitAfter(settings, 3, down, () => 0)).toBe(400)
  })

  it('obeys Retry-After up to a minute, and asks seldom when the key is refused', () => {
    expect(waitAfter(settings, 1, { ...down, retryAfterMs: 9000 }, () => 1)).toBe(9000)
    expect(waitAfter(settings, 1, { ...down, retryAfterMs: 9e9 }, () => 1)).toBe(60_000)
    const forbidden = { kind: 'forbidden', status: 401, why: '' } as const
    expect(waitAfter(settings, 1, forbidden, () => 1)).toBe(30_000)
  })
})

describe('a peer', () => {
  it('tries one call at a time while it is away, and lets all through when it answers', async () => {
    const clock = quickClock()
    const peer = peerWith(clock)
    let attempts = 0
    let underWay = 0
    let most = 0
    const attempt = async (): Promise<Outcome> => {
      const knownAway = !peer.up
      attempts++
      underWay++
      if (knownAway) most = Math.max(most, underWay)
      const away = attempts <= 30
      await new Promise((resolve) => setImmediate(resolve))
      underWay--
      return away ? down : fine
    }
    // all twenty set out before the first failure; from then on one at a time
    const all = await Promise.all(Array.from({ length: 20 }, () => peer.call(attempt, never)))
    expect(all.every(({ kind }) => kind === 'delivered')).toBe(true)
    expect(peer.up).toBe(true)
    expect(most).toBe(1)
    expect(attempts).toBe(20 + 10 + 20)
  })

  it('hands the trying over when the one that tries gives up', async () => {
    const clock = quickClock()
    const peer = peerWith(clock)
    let away = true
    const attempt = async (): Promise<Outcome> => (away ? down : fine)
    const first = new AbortController()
    const given = peer.call(attempt, first.signal)
    const other = peer.call(attempt, never)
    await new Promise((resolve) => setImmediate(resolve))
    first.abort(new Error('given up'))
    await expect(given).rejects.toThrow('given up')
    away = false
    expect((await other).kind).toBe('delivered')
  })

  it('ends for good on a refusal, which also shows that the peer is there', async () => {
    const peer = peerWith(quickClock())
    const answers: Outcome[] = [down, { kind: 'refused', status: 400, why: 'answered 400' }]
    const outcome = await peer.call(async () => answers.shift() ?? fine, never)
    expect(outcome.kind).toBe('refused')
    expect(peer.up).toBe(true)
  })
})
