/** Something that was made, and how it is removed. */
export type Made = {
  what: string
  /** how a human removes it */
  byHand: string
  /** everything that was made after it goes with it, also what could not be removed by itself */
  holdsRest?: boolean
  remove(signal: AbortSignal): Promise<void>
}

/** Everything that was made so far; removed in the opposite order, each once. */
export type Cleanup = {
  /** Say it before it is made: whatever happens in between is removed too. */
  add(made: Made): void
  /** Removes all; what failed, or was not reached before `signal`, is returned and stays to be removed. */
  run(signal: AbortSignal, tell?: (event: CleanupEvent) => void): Promise<Left[]>
  /** what is not removed yet, in the order in which it would be */
  left(): Left[]
}
export type Left = Pick<Made, 'what' | 'byHand'> & { why?: string }
export type CleanupEvent =
  | { event: 'removing'; what: string }
  | { event: 'removed'; what: string }
  | { event: 'failed'; what: string; why: string }

/** An empty list of things made. */
export function createCleanup(): Cleanup {
  const stack: Made[] = []
  const leftOf = ({ what, byHand }: Made): Left => ({ what, byHand })
  return {
    add: (made) => void stack.push(made),
    left: () => stack.toReversed().map(leftOf),
    async run(signal, tell = () => {}) {
      let failed: Left[] = []
      for (const made of stack.toReversed()) {
        if (signal.aborted) {
          failed.push(leftOf(made))
          continue
        }
        tell({ event: 'removing', what: made.what })
        try {
          await orAborted(made.remove(signal), signal)
          stack.splice(stack.indexOf(made), made.holdsRest ? stack.length : 1)
          if (made.holdsRest) failed = []
          tell({ event: 'removed', what: made.what })
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error)
          failed.push({ ...leftOf(made), why })
          tell({ event: 'failed', what: made.what, why })
        }
      }
      return failed
    },
  }
}

/** The promise's result, or the signal's reason as soon as it fires; the promise itself may go on. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const stop = () => reject(signal.reason)
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  // nobody may be listening any more when the loser of the race ends
  promise.catch(() => {})
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
