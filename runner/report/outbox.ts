import PQueue from 'p-queue'
import type { Outcome } from '../../lib/http.ts'
import type { Log } from '../../lib/log.ts'
import type { Peer, Settled } from '../../lib/peer.ts'
import type { Spill } from '../../lib/spill.ts'
import { createShelf, type Item, type Shelf } from './shelf.ts'
import type { Snapshot } from './snapshot.ts'

export type ReportState = 'delivered' | 'pending' | 'failed'
export type ReporterStats = {
  /** runs that still owe a report */
  pending: number
  /** snapshots that the peer refused for good */
  deadLetters: number
  /** snapshots given up because neither memory nor disk had room */
  lost: number
}

export type Reporter = {
  /** Takes a snapshot; never waits, never throws. */
  offer(snapshot: Snapshot): void
  /** Resolves when nothing is owed for the run; rejects when `signal` aborts. */
  idle(run: string, signal: AbortSignal): Promise<void>
  /** `delivered` also for a run that never owed anything */
  state(run: string): ReportState
  stats(): ReporterStats
  /** Waits for what is owed until `signal` aborts, keeps the rest on disk. Returns the number of runs that still owe. */
  stop(signal: AbortSignal): Promise<number>
}

export type ReporterParts = {
  peer: Peer
  post: (
    snapshot: Omit<Snapshot, 'seq' | 'create' | 'completed'>,
    signal: AbortSignal,
  ) => Promise<Outcome>
  /** absent: nothing is kept on disk */
  spill?: Spill
  maxMemoryBytes: number
  log: Log
}

type Entry = {
  run: string
  seq: number
  first?: Item
  latest?: Item
  working: boolean
  failed: boolean
  waiting: Set<() => void>
}

/** Settled runs whose outcome is remembered. */
const REMEMBERED = 2000
/** Reports that are under way at the same time. */
const AT_ONCE = 8
const NO_ROOM = 'memory and disk for unsent reports are full'

class Outbox implements Reporter {
  readonly #parts: ReporterParts
  readonly #shelf: Shelf
  readonly #entries = new Map<string, Entry>()
  readonly #settled = new Map<string, ReportState>()
  readonly #queue = new PQueue({ concurrency: AT_ONCE })
  readonly #ended = new AbortController()
  #deadLetters = 0
  #lost = 0
  #stopping = false

  constructor(parts: ReporterParts) {
    this.#parts = parts
    this.#shelf = createShelf(parts.maxMemoryBytes, parts.spill)
    for (const item of this.#shelf.recovered())
      this.#place({ ...item, seq: Number.NEGATIVE_INFINITY })
  }

  offer(snapshot: Snapshot): void {
    const known = this.#entries.get(snapshot.run)
    const over = known?.latest?.completed && !snapshot.completed
    const delivered = !known && this.#settled.get(snapshot.run) === 'delivered'
    if (this.#stopping || over || delivered || (known && snapshot.seq <= known.seq)) return
    const item = this.#shelf.put(snapshot, !this.#parts.peer.up) ?? this.#makeRoomFor(snapshot)
    if (item) this.#place(item)
  }

  state(run: string): ReportState {
    const entry = this.#entries.get(run)
    if (entry?.first || entry?.latest) return 'pending'
    return this.#settled.get(run) ?? (entry?.failed ? 'failed' : 'delivered')
  }

  async idle(run: string, signal: AbortSignal): Promise<void> {
    const entry = this.#entries.get(run)
    if (!entry || this.state(run) !== 'pending') return
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = (): void => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    entry.waiting.add(resolve)
    await promise.finally(() => {
      signal.removeEventListener('abort', abort)
      entry.waiting.delete(resolve)
    })
  }

  stats(): ReporterStats {
    let pending = 0
    for (const run of this.#entries.keys()) if (this.state(run) === 'pending') pending++
    return { pending, deadLetters: this.#deadLetters, lost: this.#lost }
  }

  async stop(signal: AbortSignal): Promise<number> {
    this.#stopping = true
    const runs = [...this.#entries.keys()]
    await Promise.allSettled(runs.map((run) => this.idle(run, signal)))
    this.#ended.abort(new Error('the reporter was stopped'))
    await this.#queue.onIdle()
    for (const { first, latest } of this.#entries.values())
      for (const item of [first, latest])
        if (item && !this.#shelf.toDisk(item)) this.#countLost(item, 'the program ends')
    return this.stats().pending
  }

  #place(item: Item): void {
    const { run, seq } = item
    const entry: Entry = this.#entries.get(run) ?? {
      run,
      seq,
      working: false,
      failed: false,
      waiting: new Set(),
    }
    this.#entries.set(run, entry)
    this.#settled.delete(run)
    entry.seq = Math.max(seq, entry.seq)
    const slot = item.create ? 'first' : 'latest'
    this.#takeOut(entry, slot, item)
    entry[slot] = item
    this.#work(entry)
  }

  #work(entry: Entry): void {
    if (entry.working) return
    entry.working = true
    void this.#queue
      .add(() => this.#deliver(entry))
      .catch((thrown: unknown) => {
        if (!this.#ended.signal.aborted)
          this.#parts.log.error({ err: thrown, run: entry.run }, 'reporting a run failed')
      })
      .finally(() => {
        entry.working = false
        if (!this.#ended.signal.aborted && (entry.first || entry.latest)) this.#work(entry)
      })
  }

  async #deliver(entry: Entry): Promise<void> {
    while (entry.first || entry.latest) {
      let sent: Item | undefined
      const outcome = await this.#parts.peer.call(async (signal) => {
        // chosen anew on every attempt: after an outage the newest state goes out, not the oldest
        sent = entry.first ?? entry.latest
        const body = sent && this.#shelf.read(sent)
        if (!sent || body === undefined) return { kind: 'withdrawn' }
        const { run, infra, scope } = sent
        return this.#parts.post({ run, infra, scope, body }, signal)
      }, this.#ended.signal)
      if (sent) this.#settle(entry, sent, outcome)
    }
  }

  #settle(entry: Entry, sent: Item, outcome: Settled): void {
    if (entry.first === sent) this.#takeOut(entry, 'first')
    else if (entry.latest === sent) this.#takeOut(entry, 'latest')
    entry.failed = outcome.kind !== 'delivered'
    if (outcome.kind === 'refused') {
      this.#deadLetters++
      const { run, completed } = sent
      this.#parts.log.error(
        { run, completed, status: outcome.status },
        `kserver ${outcome.why}; this report is not tried again`,
      )
    }
    if (outcome.kind === 'withdrawn') this.#countLost(sent, 'its file cannot be read any more')
    if (sent.completed && !entry.latest) this.#remember(entry)
    this.#wakeIfIdle(entry)
  }

  #takeOut(entry: Entry, slot: 'first' | 'latest', successor?: Item): void {
    const item = entry[slot]
    if (!item) return
    delete entry[slot]
    this.#shelf.drop(item, successor)
  }

  #wakeIfIdle(entry: Entry): void {
    if (entry.first || entry.latest) return
    for (const wake of entry.waiting) wake()
    entry.waiting.clear()
  }

  #remember(entry: Entry): void {
    this.#entries.delete(entry.run)
    this.#settled.set(entry.run, entry.failed ? 'failed' : 'delivered')
    for (const run of this.#settled.keys()) {
      if (this.#settled.size <= REMEMBERED) return
      this.#settled.delete(run)
    }
  }

  /**
   * No room in memory nor on disk. The run's own older state is superseded anyway; after it, unfinished states of other
   * runs go, one after another; a final state is given up only when nothing but final states is left.
   */
  #makeRoomFor(snapshot: Snapshot): Item | undefined {
    const own = this.#entries.get(snapshot.run)
    if (own && !snapshot.create) this.#takeOut(own, 'latest')
    let item = this.#shelf.put(snapshot, false)
    for (const entry of this.#entries.values()) {
      if (item) return item
      if (entry === own || !entry.latest || entry.latest.completed) continue
      this.#countLost(entry.latest, NO_ROOM)
      this.#takeOut(entry, 'latest')
      this.#wakeIfIdle(entry)
      item = this.#shelf.put(snapshot, false)
    }
    if (item) return item
    this.#countLost(snapshot, NO_ROOM)
    if (snapshot.completed) this.#settled.set(snapshot.run, 'failed')
    if (own) this.#wakeIfIdle(own)
    return undefined
  }

  #countLost(snapshot: { run: string; completed: boolean }, why: string): void {
    this.#lost++
    const { run, completed } = snapshot
    this.#parts.log.error(
      { run, completed, lost: this.#lost },
      `a report for kserver was given up: ${why}`,
    )
  }
}

/** Reports of all runs to one kserver: ordered per run, coalesced, at least once, the last one always. */
export function createReporter(parts: ReporterParts): Reporter {
  return new Outbox(parts)
}
