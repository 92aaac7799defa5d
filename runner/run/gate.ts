import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Pulse } from './pulse.ts'

type Parts = {
  pulse: Pulse
  clock: Clock
  log: Log
  /** the run is no longer carried on here */
  halted: AbortSignal
  /** resolves when the run is ours by a fresh look */
  confirm(signal: AbortSignal): Promise<void>
}

/** Pause before it is asked again who holds the run, milliseconds. */
const askAgainMs = 500

/**
 * Passed before each act: after a silence that others may have taken for death, the resource is asked who holds the run.
 * Also after one that was over before the act was due.
 */
export class Gate {
  readonly #parts: Parts
  /** gaps of the pulse after which it is known that the run is ours */
  #known: number

  /** Made before the claim is sent: that is a fresh look, too. */
  constructor(parts: Parts) {
    this.#parts = parts
    this.#known = parts.pulse.gaps
  }

  async pass(signal: AbortSignal): Promise<void> {
    const { pulse, clock, log, halted, confirm } = this.#parts
    for (;;) {
      await pulse.next(signal)
      const { gaps } = pulse
      if (gaps === this.#known) return
      try {
        await confirm(signal)
        this.#known = gaps
        return
      } catch (error) {
        halted.throwIfAborted()
        signal.throwIfAborted()
        log.warn({ err: error }, 'who holds the run could not be asked; asking again')
        await clock.sleep(askAgainMs, signal)
      }
    }
  }
}
