import { reach } from '../../lib/crash.ts'
import type { NodeEvent, NodeHello, NodeLine } from '../../model/fault-pod.ts'

/** An event before it has its number and time. */
export type Unstamped = NodeEvent extends infer Event
  ? Event extends NodeEvent
    ? Omit<Event, 'seq' | 'at'>
    : never
  : never

type Store = {
  readonly earlier: NodeEvent[]
  readonly acknowledged: number
  /** false: it has no room for it */
  append(event: NodeEvent): boolean
  acknowledge(seq: number): void
}

/** Outlives programs that no journal remembers: the last number that was told without being written. */
export type Unwritten = { readonly last: number; note(seq: number): void }

type Ends = {
  print(line: NodeLine): void
  now(): number
  after: number
  /** events may have been told that the store has lost: their numbers are never used again */
  hasLost?: boolean
  unwritten?: Unwritten
}

/** More than one go on a full node tells between two writes of the kernel. */
const lostAtMost = 10_000

/** The events of one journal: numbered, journalled, then printed; replayed to a runner that comes back. */
export class Channel {
  readonly #store: Store
  readonly #print: (line: NodeLine) => void
  readonly #now: () => number
  readonly #unwritten: Unwritten | undefined
  #events: NodeEvent[]
  /** our own events have numbers above it */
  readonly #begin: number
  #last: number
  #acknowledged: number
  /** a runner has said what it knows, so that it may know numbers of ours */
  #isGreeted = false

  /** `after`: what the runner has stored; a journal that was lost begins above it. */
  constructor(store: Store, { print, now, after, hasLost = false, unwritten }: Ends) {
    this.#store = store
    this.#print = print
    this.#now = now
    this.#events = [...store.earlier]
    this.#acknowledged = store.acknowledged
    this.#unwritten = unwritten
    const told = Math.max(after, this.#acknowledged, unwritten?.last ?? 0)
    const known = Math.max(told, ...this.#events.map(({ seq }) => seq))
    this.#begin = hasLost ? known + lostAtMost : known
    this.#last = this.#begin
  }

  /** Journal first: what was printed can be printed again. */
  emit(unstamped: Unstamped): NodeEvent {
    const event = { seq: this.#last + 1, at: this.#now(), ...unstamped } as NodeEvent
    this.#last = event.seq
    this.#events.push(event)
    CRASH: reach('program/event-numbered')
    this.#keep(event)
    CRASH: reach('program/event-stored')
    this.#print(event)
    return event
  }

  #keep(event: NodeEvent): void {
    if (!this.#store.append(event)) this.#unwritten?.note(event.seq)
  }

  /** Answers an attach with the last number and everything after `acknowledged`. */
  hello(acknowledged: number): void {
    // It knows numbers that are not ours: of a program before us, whose events no journal has.
    if (acknowledged > (this.#isGreeted ? this.#last : this.#begin)) this.#renumber(acknowledged)
    this.#isGreeted = true
    this.ack(acknowledged)
    const hello: NodeHello = { hello: 1, last: this.#last, now: this.#now() }
    this.#print(hello)
    for (const event of this.#events) if (event.seq > acknowledged) this.#print(event)
  }

  /** What it would take for known is told above that, with the times that it had. */
  #renumber(above: number): void {
    const heard = Math.max(this.#begin, this.#acknowledged)
    this.#last = Math.max(above, this.#last)
    this.#events = this.#events.map((event) => {
      if (event.seq <= heard) return event
      const again = { ...event, seq: ++this.#last }
      this.#keep(again)
      return again
    })
  }

  ack(seq: number): void {
    if (seq <= this.#acknowledged) return
    this.#acknowledged = Math.min(seq, this.#last)
    CRASH: reach('program/acknowledging')
    this.#store.acknowledge(this.#acknowledged)
  }

  get allAcknowledged(): boolean {
    return this.#acknowledged >= (this.#events.at(-1)?.seq ?? 0)
  }
}
