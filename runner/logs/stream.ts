import type { Clock } from '../../lib/clock.ts'
import type { Calls } from '../../lib/http.ts'
import type { Log } from '../../lib/log.ts'
import type { Peer, Settled } from '../../lib/peer.ts'
import type { logService } from '../../model/wire/log-service.ts'
import type { LineEncoder, LogEntry } from './line.ts'
import type { Batch, LineStore } from './store.ts'

/** What all streams of one log-service share. */
export type StreamParts = {
  accountId: string
  client: Calls<typeof logService>
  peer: Peer
  store: LineStore
  encode: LineEncoder
  clock: Clock
  log: Log
  batch: { maxLines: number; maxBytes: number; waitMs: number }
  onLost: (lines: number) => void
}

type Life = 'open' | 'closing' | 'closed'

/** The log of one task: lines in, ordered batches out, one call at a time. */
export class LogStream {
  readonly key: string
  readonly #parts: StreamParts
  readonly #queue: Batch[] = []
  #lines: string[] = []
  #bytes = 0
  #firstAt = 0
  #pos: number
  #dropped = 0
  #sending: Batch | undefined
  #life: Life = 'open'
  #opened = false
  /** only the rest of a former process: nobody here writes to it or closes it */
  #orphan = false
  /** the alternative endpoint, for services without the stream one */
  #blob = false
  #wake = Promise.withResolvers<void>()
  #urgent = new AbortController()
  #settled = Promise.withResolvers<void>()

  constructor(key: string, from: number, parts: StreamParts) {
    this.key = key
    this.#pos = from - 1
    this.#parts = parts
  }

  /** The last position given out. */
  get position(): number {
    return this.#pos
  }

  get idle(): boolean {
    return this.#queue.length === 0 && this.#lines.length === 0 && !this.#sending
  }

  get life(): Life {
    return this.#life
  }

  /** Somebody here writes to it (again): positions go on behind what was given out before. */
  claim(from: number): void {
    this.#pos = Math.max(this.#pos, from - 1)
    this.#orphan = false
    if (this.#life === 'closing') this.#life = 'open'
  }

  /** Lines that a former process left on disk. */
  adopt(batches: Batch[]): void {
    this.#queue.push(...batches)
    this.#orphan = true
  }

  /** The position of the line; undefined when there was no room for it. */
  write(entry: LogEntry): number | undefined {
    if (this.#dropped > 0) this.#tellDropped(entry.time)
    const pos = this.#append(entry)
    if (pos !== undefined) return pos
    this.#dropped++
    this.#parts.onLost(1)
    return undefined
  }

  #append(entry: LogEntry): number | undefined {
    const line = this.#parts.encode(entry, this.#pos + 1)
    if (!this.#parts.store.hasRoom(line.length)) return undefined
    this.#parts.store.memory += line.length
    this.#pos++
    if (this.#lines.length === 0) this.#firstAt = this.#parts.clock.now()
    this.#lines.push(line)
    this.#bytes += line.length
    if (this.#isFull()) this.flush()
    this.#wake.resolve()
    return this.#pos
  }

  #tellDropped(time: number): void {
    const count = this.#dropped
    const out = `${count} ${count === 1 ? 'line is' : 'lines are'} missing here: the log-service was away, and memory and disk for unsent lines were full`
    if (this.#append({ level: 'warn', out, time }) !== undefined) this.#dropped = 0
  }

  #isFull(): boolean {
    const { maxLines, maxBytes } = this.#parts.batch
    return this.#lines.length >= maxLines || this.#bytes >= maxBytes
  }

  #seal(): void {
    if (this.#lines.length === 0) return
    this.#queue.push({
      lines: this.#lines.length,
      bytes: this.#bytes,
      text: `[${this.#lines.join(',')}]`,
    })
    this.#lines = []
    this.#bytes = 0
  }

  /** Moves everything that is not under way to disk; false when that did not work for all. */
  spill(): boolean {
    this.#seal()
    return this.#queue.every((batch) => this.#parts.store.toDisk(this.key, batch))
  }

  /** Lines in memory, for the account of what is lost at the end. */
  get linesInMemory(): number {
    return this.#queue.reduce(
      (sum, batch) => sum + (batch.file ? 0 : batch.lines),
      this.#lines.length,
    )
  }

  /** Sends what is there without waiting for more. */
  flush(): void {
    this.#seal()
    this.#urgent.abort()
    this.#wake.resolve()
  }

  /** Resolves when nothing is unsent, or the stream has ended. */
  async drained(): Promise<void> {
    while (!this.idle && this.#life !== 'closed') await this.#settled.promise
  }

  close(): void {
    if (this.#life === 'open') this.#life = 'closing'
    if (this.#dropped > 0) this.#tellDropped(this.#parts.clock.now())
    this.flush()
  }

  /** Works until the stream is closed (an orphan: until its lines are out); throws only when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      do {
        await this.#work(signal)
        if (this.#orphan) return
        await this.#parts.peer.call((s) => this.#parts.client.close(this.#input(), s), signal)
        this.#opened = false
      } while (this.#life !== 'closing')
    } finally {
      if (!signal.aborted) this.#life = 'closed'
      this.#tellSettled()
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    const unopened = (): boolean => !this.#orphan && !this.#opened
    while (this.#life === 'open' || !this.idle || unopened()) {
      if (unopened()) await this.#open(signal)
      const batch = this.#queue[0] ?? (await this.#gather(signal))
      if (batch) await this.#deliver(batch, signal)
      if (this.#dropped > 0) this.#tellDropped(this.#parts.clock.now())
      if (this.#orphan && this.idle) return
    }
  }

  #input(): { params: Record<never, string>; query: { accountID: string; key: string } } {
    return { params: {}, query: { accountID: this.#parts.accountId, key: this.key } }
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { peer, client, log } = this.#parts
    const outcome = await peer.call((s) => client.open(this.#input(), s), signal)
    this.#opened = true
    if (outcome.kind === 'refused')
      log.warn(
        { key: this.key },
        `log-service ${outcome.why} when the log was opened; lines are sent all the same`,
      )
  }

  /** Waits for the first line and then a moment for more; a full batch, a flush and a close end the wait. */
  async #gather(signal: AbortSignal): Promise<Batch | undefined> {
    if (this.#lines.length === 0) {
      this.#urgent = new AbortController()
      this.#tellSettled()
      if (this.#life === 'open') await this.#woken(signal)
    }
    const { clock, batch } = this.#parts
    const rest = this.#firstAt + batch.waitMs - clock.now()
    if (this.#lines.length > 0 && this.#queue.length === 0 && rest > 0)
      await clock
        .sleep(rest, AbortSignal.any([signal, this.#urgent.signal]))
        .catch(() => signal.throwIfAborted())
    this.#urgent = new AbortController()
    if (this.#queue.length === 0) this.#seal()
    return this.#queue[0]
  }

  async #woken(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#wake = Promise.withResolvers()
    const abort = (): void => this.#wake.resolve()
    signal.addEventListener('abort', abort, { once: true })
    await this.#wake.promise
    signal.removeEventListener('abort', abort)
    signal.throwIfAborted()
  }

  async #deliver(batch: Batch, signal: AbortSignal): Promise<void> {
    this.#queue.shift()
    this.#sending = batch
    try {
      const text = this.#parts.store.read(batch)
      if (text === undefined)
        this.#lose(batch.lines, 'a file of unsent lines cannot be read any more')
      else await this.#put(text, batch.lines, signal)
      this.#parts.store.drop(batch)
      this.#sending = undefined
    } catch (thrown) {
      // not delivered: it stays the first of the queue, so that stop() can keep it on disk
      this.#queue.unshift(batch)
      this.#sending = undefined
      throw thrown
    }
    if (this.idle) this.#tellSettled()
  }

  async #put(text: string, lines: number, signal: AbortSignal): Promise<void> {
    const outcome = await this.#attempt(text, signal)
    if (outcome.kind !== 'refused') return
    if (outcome.status === 413 && lines > 1) return this.#putHalves(text, lines, signal)
    if ((outcome.status === 404 || outcome.status === 405) && !this.#blob) {
      // the stream may be gone on the other side, or the service may have no stream endpoint
      await this.#open(signal)
      const again = await this.#attempt(text, signal)
      if (again.kind !== 'refused') return
      this.#blob = true
      this.#parts.log.warn(
        { key: this.key },
        `log-service ${outcome.why}; lines go to its blob endpoint`,
      )
      return this.#put(text, lines, signal)
    }
    this.#lose(lines, `log-service ${outcome.why}`)
  }

  #attempt(text: string, signal: AbortSignal): Promise<Settled> {
    const { peer, client } = this.#parts
    const input = { ...this.#input(), body: text }
    return peer.call((s) => (this.#blob ? client.blob(input, s) : client.stream(input, s)), signal)
  }

  async #putHalves(text: string, lines: number, signal: AbortSignal): Promise<void> {
    const all: unknown[] = JSON.parse(text)
    const middle = Math.ceil(all.length / 2)
    await this.#put(JSON.stringify(all.slice(0, middle)), middle, signal)
    await this.#put(JSON.stringify(all.slice(middle)), lines - middle, signal)
  }

  #lose(lines: number, why: string): void {
    this.#parts.onLost(lines)
    this.#parts.log.error({ key: this.key, lines }, `${lines} log lines are lost: ${why}`)
  }

  #tellSettled(): void {
    const told = this.#settled
    this.#settled = Promise.withResolvers()
    told.resolve()
  }
}
