/** Something that may happen next. */
export type Step = { name: string; run(): void }

type Waiting = { name: string; when: () => boolean; go(): void }

/** Puts every pause of a simulated run into one list, so that a test decides what happens first. */
export class Turns {
  #waiting: Waiting[] = []

  /** Resolves when it is chosen, which may be as soon as `when` holds; throws when the signal comes first. */
  take(name: string, signal: AbortSignal, when: () => boolean = () => true): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const waiting: Waiting = { name, when, go: resolve }
      this.#waiting.push(waiting)
      signal.addEventListener(
        'abort',
        () => {
          this.#drop(waiting)
          reject(signal.reason)
        },
        { once: true },
      )
    })
  }

  steps(): Step[] {
    return this.#waiting
      .filter(({ when }) => when())
      .map((waiting) => ({
        name: waiting.name,
        run: () => {
          this.#drop(waiting)
          waiting.go()
        },
      }))
  }

  #drop(waiting: Waiting): void {
    this.#waiting = this.#waiting.filter((one) => one !== waiting)
  }
}
