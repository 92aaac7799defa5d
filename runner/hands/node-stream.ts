import { reach } from '../../lib/crash.ts'
import type {
  NodeCommand,
  NodeEvent,
  NodeHello,
  NodeLine,
  NodeOrder,
} from '../../model/fault-pod.ts'
import { faultContainer, journalFolder } from '../../model/fault-pod-spec.ts'
import { aheadOf, factOf } from './node-facts.ts'
import type { Attached, SessionLinks, SessionParts } from './node-parts.ts'

/** A program that does not answer a hello within this is not spoken to any more, milliseconds. */
const answerMs = 5000
/** A stream that may have broken without a word is tried this often, milliseconds. */
const pingMs = 10_000

/** What came of one connection. */
export type Talk = {
  /** the program has answered */
  heard: boolean
  error?: unknown
}

type Ends = {
  /** the program answered for the first time on this connection */
  onHello(): void
  /** the program has ended in order, and its journal is gone */
  onBye(): void
  onEvent(event: NodeEvent): void
  /** what a pod that was warm is to be told first */
  orderOf(pod: string): Promise<NodeOrder | null>
  signal: AbortSignal
}

/** The conversation with the program of one node: who it is may change, what it says is told once. */
export class NodeStream {
  #parts: SessionParts
  #links: SessionLinks
  #ends: Ends
  #attached: Attached | null = null
  #acking = false
  /** a hello is under way since then */
  #asked: number | null = null
  /** the runner's clock is ahead of the node's by so much, as the last hello showed */
  #aheadMs = 0
  /** what was told before the answer to our hello, which tells it again and says by which clock */
  #early: NodeEvent[] = []

  constructor(parts: SessionParts, links: SessionLinks, ends: Ends) {
    this.#parts = parts
    this.#links = links
    this.#ends = ends
  }

  /** The program that we speak to, null: none. */
  get attached(): Attached | null {
    return this.#attached
  }

  close(): void {
    this.#attached?.close()
  }

  /** One connection, from the attach to its end. Throws when the session ends only. */
  async talk(pod: string): Promise<Talk> {
    const { attach, namespace } = this.#parts
    const { signal } = this.#ends
    let heard = false
    try {
      const attached = await attach({ namespace, pod, container: faultContainer }, signal)
      try {
        await this.#listen(attached, pod, () => {
          heard = true
        })
      } finally {
        attached.close()
        if (!signal.aborted) this.#takeEarly(pod)
      }
      return { heard }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      return { heard, error }
    } finally {
      this.#attached = null
    }
  }

  /** Nobody answered any more: what was told until then is all that there is of it. */
  #takeEarly(pod: string): void {
    for (const event of this.#early.splice(0))
      if (event.seq === this.acknowledged + 1) this.#take(event, pod)
  }

  async #listen(attached: Attached, pod: string, onHeard: () => void): Promise<void> {
    const watch = setInterval(() => this.#ping(attached), answerMs / 5)
    try {
      await this.#order(attached, pod)
      await this.#hello(attached)
      for await (const text of attached.lines) {
        const line = parseLine(text)
        if (line && 'hello' in line) onHeard()
        if (line) this.#hear(attached, line, pod)
      }
    } finally {
      clearInterval(watch)
    }
  }

  async #order(attached: Attached, pod: string): Promise<void> {
    const order = await this.#ends.orderOf(pod)
    if (!order) return
    const command: NodeCommand = { do: 'order', order, journal: journalFolder(order) }
    await attached.send(JSON.stringify(command))
  }

  async #hello(attached: Attached): Promise<void> {
    this.#asked = this.#parts.clock.now()
    CRASH: reach('runner/attached', this.#links.order.resource.name)
    await attached.send(JSON.stringify({ do: 'hello', acknowledged: this.acknowledged }))
  }

  #lastPing = 0
  /** Closes a stream on which nobody answers; the session opens another one. */
  #ping(attached: Attached): void {
    const now = this.#parts.clock.now()
    if (this.#asked !== null) {
      if (now - this.#asked > answerMs) attached.close()
      return
    }
    if (now - this.#lastPing < pingMs) return
    this.#lastPing = now
    this.#hello(attached).catch(() => attached.close())
  }

  #hear(attached: Attached, line: NodeLine, pod: string): void {
    if ('hello' in line) {
      this.#compareClocks(line)
      this.#asked = null
      if (this.#attached === attached) return
      this.#early = []
      this.#attached = attached
      this.#lastPing = this.#parts.clock.now()
      this.#ends.onHello()
      return
    }
    if ('bye' in line) {
      this.#ends.onBye()
      return
    }
    // A program that is busy before it reads our hello may tell something new before what was missed: its answer has both.
    if (this.#attached !== attached) {
      this.#early.push(line)
      return
    }
    if (line.seq <= this.acknowledged) return
    CRASH: reach('runner/heard', this.#links.order.resource.name)
    this.#take(line, pod)
    CRASH: reach('runner/taken', this.#links.order.resource.name)
    if (!this.#acking) void this.#acknowledge()
  }

  #compareClocks({ now }: NodeHello): void {
    if (now === undefined) this.#aheadMs = 0
    else if (this.#asked !== null)
      this.#aheadMs = aheadOf(now, this.#asked, this.#parts.clock.now())
  }

  #take(event: NodeEvent, pod: string): void {
    const { order, emit } = this.#links
    emit({ ...factOf(event, order.task, this.#aheadMs), pod })
    emit({ fact: 'acknowledged', task: order.task, node: order.node, seq: event.seq })
    this.#ends.onEvent(event)
  }

  get acknowledged(): number {
    return this.#links.task().acknowledged[this.#links.order.node] ?? 0
  }

  async #acknowledge(): Promise<void> {
    this.#acking = true
    try {
      const seq = this.acknowledged
      await this.#links.stored(this.#ends.signal)
      CRASH: reach('runner/acknowledging', this.#links.order.resource.name)
      await this.send({ do: 'ack', seq })
    } catch {
      // The run ends or is handed over: who comes next is told everything again.
    } finally {
      this.#acking = false
    }
  }

  /** False when there is nobody to hear it, or the stream broke: on the next one the state is told again. */
  async send(command: NodeCommand): Promise<boolean> {
    if (!this.#attached) return false
    try {
      await this.#attached.send(JSON.stringify(command))
      return true
    } catch {
      return false
    }
  }
}

function parseLine(text: string): NodeLine | null {
  if (!text.startsWith('{')) return null
  try {
    return JSON.parse(text) as NodeLine
  } catch {
    return null
  }
}
