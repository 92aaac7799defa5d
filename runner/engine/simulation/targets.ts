import { recordKey, type TargetState } from '../../../model/state.ts'

/** By what a target is known here: a pod that is struck by its uid, as its name comes back; what is held by its record. */
export const truthKey = (fault: string, target: TargetState): string =>
  fault === 'pod-delete' ? target.uid : recordKey(target)

/** What really happened to a target: the truth that the records are compared with. */
export type Truth = { injects: number; reverts: number; held: boolean }

/** The targets themselves. They outlive every program and every runner. */
export class Targets {
  readonly all = new Map<string, Truth>()
  /** what must never be, in words */
  readonly violations: string[] = []
  readonly #recorded: (id: string) => boolean
  /** pods that were deleted: when each has stopped */
  readonly #stopped = new Map<string, number>()

  /** `recorded`: whether what is stored durably says that something may be done to the target */
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

  /** A steady state that is asked under the fault says nothing. */
  mustBeFree(task: string): void {
    for (const [id, { held }] of this.all)
      if (held && id.startsWith(`${task}/`))
        this.violations.push(`the steady state of ${task} was asked while ${id} was held`)
  }

  /** A pod that is deleted is there until it has stopped. */
  strike(uid: string, stoppedAt: number): void {
    this.inject(uid)
    this.#stopped.set(uid, stoppedAt)
  }

  /** Pods that have stopped, and go now. */
  going(now: number): string[] {
    const stopped = [...this.#stopped].filter(([uid, at]) => this.of(uid).held && now >= at)
    return stopped.map(([uid]) => uid)
  }

  revert(id: string): void {
    const truth = this.of(id)
    if (truth.held) truth.reverts++
    truth.held = false
  }
}
