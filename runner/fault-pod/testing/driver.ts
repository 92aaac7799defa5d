import { setTimeout as sleep } from 'node:timers/promises'
import type { NodeEvent } from '../../../model/fault-pod.ts'
import type { PosedPod } from './pod.ts'
import { heardOnce } from './story.ts'

/** What was sent has been heard by then, milliseconds. */
const tellMs = 50
const ends = new Set<NodeEvent['event']>(['reverted', 'inject-failed', 'refused'])

/** What is done to a run on the way, beside carrying it. */
export type Disturbance = {
  /** told to stop in the same breath as to go */
  stopAtOnce?: boolean
  /** once all targets are held */
  whenHeld?(): void
}

/** Carries one order as a runner does, through any number of lives of the program. */
export class Driver {
  readonly #pod: PosedPod
  readonly #targets: readonly string[]
  readonly #holdMs: number
  readonly #disturbance: Disturbance
  #disturbed = false
  #quitSent = false
  #heardUntil: number | undefined

  constructor(
    pod: PosedPod,
    order: { targets: readonly string[]; holdMs: number },
    disturbance: Disturbance = {},
  ) {
    this.#pod = pod
    this.#targets = order.targets
    this.#holdMs = order.holdMs
    this.#disturbance = disturbance
  }

  /** What a runner has on record. After its order to quit it has everything, and takes nothing more. */
  get heard(): NodeEvent[] {
    return this.#heardIn(this.#heardUntil)
  }

  #heardIn(lines: number | undefined): NodeEvent[] {
    return heardOnce(this.#pod.lines.slice(0, lines).filter((line) => 'event' in line))
  }

  /** Carries on until the program has ended or is stopped; says how. */
  async life(limitMs: number): Promise<'exited' | 'killed' | 'stopped'> {
    const { program } = this.#pod
    const from = this.#pod.lines.length
    // A runner takes nothing of a program before that has answered it.
    const before = Math.min(this.#pod.linesBefore, this.#heardUntil ?? this.#pod.linesBefore)
    this.#pod.send({ do: 'hello', acknowledged: this.#heardIn(before).length })
    const wasToQuit = this.#quitSent
    if (wasToQuit) this.#heardUntil ??= from
    let told = wasToQuit
    let deleted = false
    let acknowledged = 0
    for (const end = performance.now() + limitMs; performance.now() < end; await sleep(3)) {
      if (program?.exitCode !== null) return 'exited'
      if (program.signalCode !== null) return 'killed'
      if (this.#pod.isStopped()) return 'stopped'
      const fresh = this.#pod.lines.slice(from).filter((line) => 'event' in line)
      // A pod whose order to quit was given is deleted, whether or not it has heard it.
      if (wasToQuit && !deleted && this.#pod.lines.length > from) deleted = await this.#delete()
      if (!told) told = this.#tellToGo(fresh)
      if (this.heard.length > acknowledged) {
        acknowledged = this.heard.length
        this.#pod.send({ do: 'ack', seq: acknowledged })
      }
      this.#disturb()
      if (!this.#quitSent && this.#targets.every((id) => this.#hasEnded(id))) {
        this.#quitSent = true
        this.#pod.send({ do: 'quit' })
      }
    }
    throw new Error(`not over after ${limitMs} ms: ${this.#pod.names()} ${this.#pod.stray}`)
  }

  /** What is heard is acknowledged until the end, also when nothing more is made of it. */
  async #delete(): Promise<boolean> {
    await sleep(tellMs)
    this.#pod.send({ do: 'ack', seq: Math.max(0, ...this.#pod.events.map(({ seq }) => seq)) })
    await sleep(tellMs)
    return this.#pod.program?.kill('SIGTERM') ?? false
  }

  #hasEnded(id: string): boolean {
    return this.heard.some((e) => 'target' in e && e.target === id && ends.has(e.event))
  }

  #tellToGo(fresh: readonly NodeEvent[]): boolean {
    const open = this.#targets.filter((id) => !this.#hasEnded(id))
    const armed = (id: string) => fresh.some((e) => e.event === 'armed' && e.target === id)
    if (open.length === 0 || !open.every(armed)) return false
    const go = { do: 'go', targets: open, holdMs: this.#holdMs } as const
    if (this.#disturbance.stopAtOnce) this.#pod.send(go, { do: 'stop', reason: 'at once' })
    else this.#pod.send(go)
    return true
  }

  #disturb(): void {
    const held = (id: string) => this.heard.some((e) => e.event === 'injected' && e.target === id)
    if (this.#disturbed || !this.#targets.every(held)) return
    this.#disturbed = true
    this.#disturbance.whenHeld?.()
  }
}
