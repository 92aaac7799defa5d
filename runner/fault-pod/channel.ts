import type { NodeEvent, NodeHello, NodeLine } from '../../model/fault-pod.ts'
import { reach } from './crash.ts'

/** An event before it has its number and time. */
export type Unstamped = NodeEvent extends infer Event
  ? Event extends NodeEvent
    ? Omit<Event, 'seq' | 'at'>
    : never
  : never

type Store = {
  readonly earlier: NodeEvent[]
  readonly acknowledged: number
  append(event: NodeEvent): void
  acknowledge(seq: number): void
}

type Ends = {
  print(line: NodeLine): void
  now(): number
  after: number
  /** events may have been told that the store has lost: their numbers are never used again */
  hasLost?: boolean
}

/** More than one go on a full node tells between two writes of the kernel. */
const lostAtMost = 10_000

/** The events of one journal: numbered, journalled, then printed; replayed to a runner that comes back. */
export class Channel {
  readonly #store: Store
  readonly #print: (line: NodeLine) => void
  readonly #now: () => number
  readonly #events: NodeEvent[]
  #last: number
  #acknowledged: number

  /** `after`: what the runner has stored; a journal that was lost begins above it. */
  constructor(store: Store, { print, now, after, hasLost = false }: Ends) {
    this.#store = store
    this.#print = print
    this.#now = now
    this.#events = [...store.earlier]
    this.#acknowledged = store.acknowledged
    const known = Math.max(after, this.#acknowledged, ...this.#events.map(({ seq }) => seq))
    this.#last = hasLost ? known + lostAtMost : known
  }

  /** Journal first: what was printed can be printed again. */
  emit(unstamped: Unstamped): NodeEvent {
    const event = { seq: this.#last + 1, at: this.#now(), ...unstamped } as NodeEvent
    this.#last = event.seq
    this.#events.push(event)
    CRASH: reach('program/event-numbered')
    this.#store.append(event)
    CRASH: reach('program/event-stored')
    this.#print(event)
    return event
  }

  /** Answers an attach with the last number and everything after `acknowledged`. */
  hello(acknowledged: number): void {
    this.ack(acknowledged)
    const hello: NodeHello = { hello: 1, last: this.#last, now: this.#now() }
    this.#print(hello)
    for (const event of this.#events) if (event.seq > acknowledged) this.#print(event)
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
