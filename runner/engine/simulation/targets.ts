/** What really happened to a target: the truth that the records are compared with. */
export type Truth = { injects: number; reverts: number; held: boolean }

/** The targets themselves. They outlive every program and every runner. */
export class Targets {
  readonly all = new Map<string, Truth>()
  /** what must never be, in words */
  readonly violations: string[] = []
  readonly #recorded: (id: string) => boolean

  /** `recorded`: whether a target stands in what is stored durably */
  constructor(recorded: (id: string) => boolean) {
    this.#recorded = recorded
  }

  of(id: string): Truth {
    const known = this.all.get(id) ?? { injects: 0, reverts: 0, held: false }
    this.all.set(id, known)
    return known
  }

  inject(id: string): void {
    const truth = this.of(id)
    if (!this.#recorded(id)) this.violations.push(`${id} was hit before it was on record`)
    const [target] = id.split('#')
    for (const [other, { held }] of this.all)
      if (held && other !== id && other.split('#')[0] === target)
        this.violations.push(`${id} was hit while ${other} was held`)
    truth.injects++
    truth.held = true
    if (truth.injects > 1) this.violations.push(`${id} was injected ${truth.injects} times`)
  }

  revert(id: string): void {
    const truth = this.of(id)
    if (truth.held) truth.reverts++
    truth.held = false
  }
}
