/** Something that this machine did to its clock or to all of its processes. */
export type Upset = { at: number; what: 'step' | 'stall'; ms: number }

const everyMs = 50
/** A wall clock that leaves the monotonic one by more than this was set. */
const stepMs = 300
/** A timer that is late by more than this was not run, and neither was anything else. */
const stallMs = 1500

/** Sees when the machine itself is upset: durations that were measured meanwhile say nothing about the product. */
export class ClockWatch {
  readonly upsets: Upset[] = []
  readonly #timer: NodeJS.Timeout

  constructor() {
    let [wall, steady] = [Date.now(), performance.now()]
    this.#timer = setInterval(() => {
      const [at, now] = [Date.now(), performance.now()]
      const step = Math.round(at - wall - (now - steady))
      const stall = Math.round(now - steady - everyMs)
      if (Math.abs(step) > stepMs) this.upsets.push({ at, what: 'step', ms: step })
      if (stall > stallMs) this.upsets.push({ at, what: 'stall', ms: stall })
      ;[wall, steady] = [at, now]
    }, everyMs)
  }

  since(at: number): Upset[] {
    return this.upsets.filter((upset) => upset.at >= at)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
