import type { Clock } from '../../clock.ts'

/** A Clock whose time moves only by `advance`. */
export type VirtualClock = Clock & {
  monotonic(): number
  /** moves on, waking sleepers in the order of their times */
  advance(ms: number): Promise<void>
}

type Sleeper = { at: number; wake: () => void }

/** Lets everything that is ready run. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A VirtualClock that begins at 1,000,000 ms. */
export function createVirtualClock(): VirtualClock {
  let now = 1_000_000
  const sleepers = new Set<Sleeper>()
  return {
    now: () => now,
    monotonic: () => now,
    sleep(ms, signal) {
      if (signal.aborted) return Promise.reject(signal.reason)
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          sleepers.delete(sleeper)
          reject(signal.reason)
        }
        const wake = () => {
          signal.removeEventListener('abort', onAbort)
          sleepers.delete(sleeper)
          resolve()
        }
        const sleeper = { at: now + ms, wake }
        sleepers.add(sleeper)
        signal.addEventListener('abort', onAbort, { once: true })
      })
    },
    async advance(ms) {
      const until = now + ms
      for (;;) {
        await settle()
        const due = [...sleepers].filter((s) => s.at <= until).sort((a, b) => a.at - b.at)[0]
        if (!due) break
        now = Math.max(now, due.at)
        due.wake()
      }
      now = until
      await settle()
    },
  }
}
