/**
 * Others take a runner for dead when its lease has not changed for `deadAfterMs`. One that was stopped, or cut off from
 * the API server, and comes back must not act on a target before it knows that nobody else has taken its runs over.
 */
export class Pulse {
  readonly #monotonic: () => number
  readonly #freshMs: number
  #beatAt = Number.NEGATIVE_INFINITY
  #gaps = 0
  #waiting: (() => void)[] = []

  /** `freshMs`: within this after a renewal nobody can have taken the runner for dead */
  constructor(monotonic: () => number, freshMs: number) {
    this.#monotonic = monotonic
    this.#freshMs = freshMs
  }

  /** The lease has been renewed; `at` is the moment before it was sent, monotonic milliseconds. */
  beaten(at: number): void {
    if (!this.isFresh) this.#gaps++
    this.#beatAt = at
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** So often a renewal came after others may have taken the runner for dead; one that is over still counts. */
  get gaps(): number {
    return this.#gaps
  }

  get isFresh(): boolean {
    return this.#monotonic() - this.#beatAt < this.#freshMs
  }

  /** Resolves with the next renewal that is still fresh then; rejects with the signal's reason. */
  async next(signal: AbortSignal): Promise<void> {
    while (!this.isFresh)
      await new Promise<void>((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const stop = (): void => reject(signal.reason)
        signal.addEventListener('abort', stop, { once: true })
        this.#waiting.push(() => {
          signal.removeEventListener('abort', stop)
          resolve()
        })
      })
  }
}
