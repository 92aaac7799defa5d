import type { Wrong } from './judge.ts'

type First = { wrong: readonly Wrong[] } | { threw: string }

/** Tries of turns, by their names. A second one makes up for time, and for nothing else. */
export class Tries {
  readonly #times = new Map<string, number>()
  readonly #first = new Map<string, First>()

  /** How many tries of it there were before this one. */
  begin(name: string): number {
    const before = this.#times.get(name) ?? 0
    this.#times.set(name, before + 1)
    return before
  }

  /** What came of the try that was begun last: all that was wrong with its cases, or what the test itself threw. */
  note(name: string, what: First): void {
    if (this.#times.get(name) === 1) this.#first.set(name, what)
  }

  /** What was wrong at the first try, and is for good. */
  forGood(name: string): string[] {
    const first = this.#first.get(name)
    if (!first || !('wrong' in first)) return []
    return first.wrong.flatMap(({ kind, text }) => (kind === 'truth' ? [text] : []))
  }

  /** The turns that were tried a second time, each with what was wrong at first. */
  again(): string[] {
    return [...this.#times].flatMap(([name, times]) => (times > 1 ? [this.#lineOf(name)] : []))
  }

  #lineOf(name: string): string {
    const first = this.#first.get(name) ?? { threw: 'not told' }
    const why =
      'threw' in first
        ? `what its cases did is unknown, as the test itself ended: ${first.threw}`
        : first.wrong.map(({ text }) => text).join('; ')
    return `${name} (${why})`
  }
}
