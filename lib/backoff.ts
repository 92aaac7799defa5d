/** How waits between attempts grow. */
export type BackoffShape = {
  /** first wait, milliseconds */
  baseMs: number
  /** no wait is longer than this */
  maxMs: number
  /** growth per attempt */
  factor?: number
  /** share of the wait that is left to chance, 0 to 1 */
  jitter?: number
}

/** The wait before attempt `attempt` (0: the first repetition). `random` gives 0 ≤ x < 1. */
export function backoffMs(shape: BackoffShape, attempt: number, random: () => number): number {
  const { baseMs, maxMs, factor = 2, jitter = 0.5 } = shape
  // 2 ** 1100 is Infinity, and Infinity - Infinity would be NaN: the limit is applied first
  const full = Math.min(maxMs, baseMs * factor ** Math.min(attempt, 1000))
  return full * (1 - jitter) + full * jitter * random()
}

/** Waits that grow on each call and start again after `reset`. */
export type Backoff = { next(): number; reset(): void; readonly attempts: number }

/** A Backoff that counts its own attempts. */
export function createBackoff(shape: BackoffShape, random: () => number): Backoff {
  let attempts = 0
  return {
    next: () => backoffMs(shape, attempts++, random),
    reset() {
      attempts = 0
    },
    get attempts() {
      return attempts
    },
  }
}
