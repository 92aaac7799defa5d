import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'

/** First and longest pause before what the runner cannot begin without is read again, milliseconds. */
const againMs = 500
const againLimitMs = 10_000

/** A program that ends because a right is missing would be started anew for ever, and say less. */
export async function atLast<T>(
  read: () => Promise<T>,
  { log, clock }: { log: Log; clock: Clock },
  signal: AbortSignal,
): Promise<T> {
  for (let waitMs = againMs; ; waitMs = Math.min(waitMs * 2, againLimitMs)) {
    try {
      return await read()
    } catch (err) {
      signal.throwIfAborted()
      log.warn({ err, waitMs }, 'the runner cannot begin without this; it is read again')
      await clock.sleep(waitMs, signal)
    }
  }
}
