import { setTimeout as delay } from 'node:timers/promises'

/** Time as an argument: the only place that reads the machine's clock. */
export type Clock = {
  /** unix milliseconds */
  now(): number
  /** rejects with the signal's reason when aborted */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, { signal })
    } catch (thrown) {
      // Node rejects with an AbortError of its own
      throw signal.aborted ? signal.reason : thrown
    }
  },
}

/** Chance as an argument: the only place that rolls the dice. */
export const systemRandom = (): number => Math.random()

/** Milliseconds that only go forward, for measuring how long something took or may still take. */
export const systemMonotonic = (): number => performance.now()

/** A clock that no step of the machine's moves; see docs/decisions/0018-clocks.md. */
export type SteadyClock = Clock & {
  /** takes the wall time as it is now; only while nothing that it has stamped is still waited for */
  anchor(): void
}

type Sources = { wall: () => number; monotonic: () => number }

/** The wall time at the last anchor, and what has passed since then. */
export function createSteadyClock(
  { wall, monotonic }: Sources = { wall: systemClock.now, monotonic: systemMonotonic },
): SteadyClock {
  let offset = 0
  const anchor = () => {
    offset = wall() - monotonic()
  }
  anchor()
  return { now: () => Math.round(offset + monotonic()), sleep: systemClock.sleep, anchor }
}
