import type { FactBody } from '../fact.ts'
import type { Targets } from './targets.ts'
import type { Step } from './turns.ts'

/** Where a target stands in the memory of a fault program. */
type Spot = 'new' | 'armed' | 'journalled' | 'acted' | 'held' | 'put-back' | 'settled'

export type Order =
  | { do: 'go' | 'join'; targets: string[] }
  | { do: 'stop'; targets?: string[] }
  | { do: 'quit' }
export type ProgramSettings = {
  task: string
  node: string
  ids: string[]
  holdMs: number
  targets: Targets
  now(): number
}

const acts = new Set(['injected', 'inject-failed', 'lost', 'reverted', 'revert-failed'])
const last = new Set(['reverted', 'inject-failed'])

/** The fault programs of one task on one node, one life after the other, and their journal. */
export class Program {
  readonly #s: ProgramSettings
  /** the journal: it outlives the program, not the order to quit */
  events: FactBody[] = []
  #open = new Set<string>()
  /** the pod that exists, null: none */
  pod: { name: string; start: 'now' | 'wait' } | null = null
  alive = false
  lives = 0
  #spots = new Map<string, Spot>()
  #endsAt = new Map<string, number>()
  #asked = new Set<string>()
  #early: Order[] = []
  #ready = false
  #quitting = false

  constructor(settings: ProgramSettings) {
    this.#s = settings
  }

  create(name: string, start: 'now' | 'wait'): void {
    if (this.pod) return
    this.pod = { name, start }
    this.#begin()
  }

  /** SIGKILL */
  kill(): void {
    this.alive = false
  }

  /** Deleted by force: nobody of it is left. */
  remove(): void {
    this.alive = false
    this.pod = null
  }

  command(order: Order): void {
    if (!this.alive) return
    const sweeping = [...this.#open].some((id) => this.#spots.get(id) === 'new')
    const begins = order.do === 'go' || order.do === 'join'
    if (begins ? !this.#ready : sweeping) this.#early.push(order)
    else if (order.do === 'go') this.#go(order.targets)
    else if (order.do === 'join') this.#join(order.targets)
    else this.#stop('targets' in order ? order.targets : undefined)
    if (order.do === 'quit') this.#quitting = true
  }

  /** Everything that may happen next by itself. */
  steps(): Step[] {
    if (!this.alive) return this.#withoutProgram()
    const { task } = this.#s
    const swept = [...this.#spots].find(([id, spot]) => spot === 'new' && this.#open.has(id))
    if (swept) return [this.#step(`sweep ${swept[0]}`, () => this.#sweep(swept[0]))]
    const fresh = [...this.#spots].find(([, spot]) => spot === 'new')
    if (fresh && !this.#ready) {
      const [id] = fresh
      const refused = { code: 'HELPER_ERROR' as const, reason: 'not there' }
      return [
        this.#step(`arm ${id}`, () => this.#say(id, 'armed', { fact: 'armed', task, target: id })),
        this.#step(`refuse ${id}`, () =>
          this.#say(id, 'settled', { fact: 'inject-failed', task, target: id, trouble: refused }),
        ),
      ]
    }
    if (!this.#ready) return [this.#step('ready', () => this.#becomeReady())]
    const busy = [...this.#spots].flatMap(([id, spot]) => this.#lifeOf(id, spot))
    if (busy.length === 0 && this.#quitting) return [this.#step('quit', () => this.#quit())]
    return busy
  }

  #begin(): void {
    this.alive = true
    this.lives++
    this.#ready = false
    this.#quitting = false
    this.#early = []
    this.#asked.clear()
    this.#endsAt.clear()
    const settled = new Set(
      this.events.flatMap((e) => ('target' in e && last.has(e.fact) ? [e.target] : [])),
    )
    // What joined an earlier life is known by what was said of it, or by what it left open.
    const ids = new Set([...this.#s.ids, ...settled, ...this.#open])
    this.#spots = new Map([...ids].map((id) => [id, settled.has(id) ? 'settled' : 'new']))
  }

  #step(what: string, run: () => void): Step {
    return { name: `${this.#s.task} on ${this.#s.node}: ${what}`, run }
  }

  #say(id: string, spot: Spot, fact: FactBody): void {
    this.events.push({ ...fact, at: this.#s.now() })
    this.#spots.set(id, spot)
  }

  /** The guard puts back what is open; kubelet starts the program again. */
  #withoutProgram(): Step[] {
    const held = [...this.#open].filter((id) => this.#s.targets.of(id).held)
    return [
      ...(held.length > 0
        ? [this.#step('the guard undoes', () => held.map((id) => this.#s.targets.revert(id)))]
        : []),
      ...(this.pod ? [this.#step('starts again', () => this.#begin())] : []),
    ].map(({ name, run }) => ({ name, run: () => void run() }))
  }

  #sweep(id: string): void {
    this.#s.targets.revert(id)
    this.#open.delete(id)
    this.#tellOf(id)
    if (this.#open.size > 0) return
    const ends = (order: Order) => order.do === 'stop' || order.do === 'quit'
    const orders = this.#early.filter(ends)
    this.#early = this.#early.filter((order) => !ends(order))
    for (const order of orders) this.command(order)
  }

  #tellOf(id: string): void {
    const { task } = this.#s
    const injected = this.events.some((e) => e.fact === 'injected' && e.target === id)
    const trouble = { code: 'CHAOS_INJECT_ERROR' as const, reason: 'ended while it injected' }
    if (!injected) {
      this.#say(id, 'settled', { fact: 'inject-failed', task, target: id, trouble })
      return
    }
    this.#say(id, 'settled', { fact: 'lost', task, target: id, reason: 'killed', heldMs: 1 })
    this.#say(id, 'settled', { fact: 'reverted', task, target: id, proof: 'swept', heldMs: 1 })
  }

  #becomeReady(): void {
    this.#ready = true
    const acted = this.events.some((e) => acts.has(e.fact))
    if (this.pod?.start === 'now' && !acted) this.#go(this.#s.ids)
    for (const order of this.#early.splice(0)) this.command(order)
  }

  #go(ids: string[]): void {
    for (const id of ids)
      if (this.#spots.get(id) === 'armed') {
        this.#open.add(id)
        this.#spots.set(id, 'journalled')
      }
  }

  /** What comes later is armed and injected at once; what is known is not heard. */
  #join(ids: string[]): void {
    for (const id of ids) {
      if (this.#spots.has(id)) continue
      this.#open.add(id)
      this.#spots.set(id, 'journalled')
    }
  }

  #stop(named?: string[]): void {
    const { task } = this.#s
    for (const id of named ?? [...this.#spots.keys()]) {
      const spot = this.#spots.get(id) ?? 'new'
      if (spot === 'settled') continue
      if (spot === 'new' || spot === 'armed')
        this.#say(id, 'settled', {
          fact: 'reverted',
          task,
          target: id,
          proof: 'nothing',
          heldMs: 0,
          untouched: true,
        })
      else this.#asked.add(id)
    }
  }

  #lifeOf(id: string, spot: Spot): Step[] {
    const { task, targets, now, holdMs } = this.#s
    if (spot === 'journalled')
      return [
        this.#step(`inject ${id}`, () => {
          targets.inject(id)
          this.#endsAt.set(id, now() + holdMs)
          this.#spots.set(id, 'acted')
        }),
      ]
    if (spot === 'acted')
      return [
        this.#step(`effect on ${id}`, () => {
          const endsAt = this.#endsAt.get(id) ?? 0
          this.#say(id, 'held', { fact: 'injected', task, target: id, evidence: 'seen', endsAt })
        }),
        this.#step(`no effect on ${id}`, () => {
          targets.revert(id)
          this.#open.delete(id)
          const trouble = { code: 'EFFECT_NOT_SEEN' as const, reason: 'no effect' }
          this.#say(id, 'settled', { fact: 'inject-failed', task, target: id, trouble })
        }),
      ]
    const over = this.#asked.has(id) || now() >= (this.#endsAt.get(id) ?? 0)
    if (spot === 'held' && over)
      return [
        this.#step(`put ${id} back`, () => {
          targets.revert(id)
          this.#spots.set(id, 'put-back')
        }),
      ]
    if (spot === 'put-back')
      return [
        this.#step(`prove ${id}`, () => {
          this.#open.delete(id)
          const proof = 'nothing is left'
          this.#say(id, 'settled', { fact: 'reverted', task, target: id, proof, heldMs: 1 })
        }),
      ]
    return []
  }

  #quit(): void {
    this.events = []
    this.alive = false
    this.pod = null
  }
}
