import type { Clock } from '../../lib/clock.ts'
import { clientOf, type Send } from '../../lib/http.ts'
import type { Log } from '../../lib/log.ts'
import type { Peer, PeerSettings } from '../../lib/peer.ts'
import type { Spill } from '../../lib/spill.ts'
import { logService, logTokenHeader } from '../../model/wire/log-service.ts'
import { createLineEncoder, type LogEntry } from './line.ts'
import { createLineStore, type LineStore } from './store.ts'
import { LogStream, type StreamParts } from './stream.ts'

export type LogServiceSettings = {
  /** for example `https://app.harness.io/gateway/log-service` */
  baseUrl: string
  token: string
  accountId: string
  /** memory for unsent lines of all streams */
  maxMemoryBytes: number
  batch: StreamParts['batch']
}

/** Sizes that carry 50,000 lines/s and keep a line no longer than a tenth of a second. */
export const logDefaults: Pick<LogServiceSettings, 'maxMemoryBytes' | 'batch'> = {
  maxMemoryBytes: 16 * 1024 * 1024,
  batch: { maxLines: 2000, maxBytes: 512 * 1024, waitMs: 90 },
}

/** How long the log-service is waited for. */
export const logServicePeer: PeerSettings = {
  name: 'log-service',
  minMs: 200,
  maxMs: 5000,
  forbiddenMs: 30_000,
  forbiddenHint:
    'check LOG_SERVICE_TOKEN in the Secret and LOG_SERVICE_ENDPOINT in the ConfigMap of the runner;',
}

export type LogStats = {
  streams: number
  /** lines that were dropped for want of room, or refused by the service */
  lost: number
  memoryBytes: number
}

/** The logs of all tasks of this runner. */
export type LogStreams = {
  /** `from`: the first position to be given out, 1 for a new log */
  open(key: string, start: { from: number }): void
  /** The position of the line; undefined when it was dropped. Never waits, never throws. */
  write(key: string, entry: LogEntry): number | undefined
  /** For writers that can wait: resolves when lines are not being dropped, or when `signal` aborts. */
  ready(signal: AbortSignal): Promise<void>
  /** The last position given out; 0 for an unknown key */
  position(key: string): number
  /** True once everything was delivered and the log is closed; false when `signal` aborts before (the work goes on). */
  close(key: string, signal: AbortSignal): Promise<boolean>
  /** Sends all there is; false when `signal` aborts before. */
  flush(signal: AbortSignal): Promise<boolean>
  stats(): LogStats
  /** Flushes, then keeps the rest on disk; returns the number of lines that are lost by that. */
  stop(signal: AbortSignal): Promise<number>
}

export type LogStreamsParts = {
  settings: LogServiceSettings
  send: Send
  peer: Peer
  clock: Clock
  mask: (text: string) => string
  /** absent: nothing is kept on disk */
  spill?: Spill
  log: Log
}

/** True when `work` ends before `signal` aborts. */
async function beats(work: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const abort = (): void => resolve(false)
  signal.addEventListener('abort', abort, { once: true })
  void work.then(
    () => resolve(true),
    () => resolve(false),
  )
  return promise.finally(() => signal.removeEventListener('abort', abort))
}

class Streams implements LogStreams {
  readonly #parts: LogStreamsParts
  readonly #shared: StreamParts
  readonly #store: LineStore
  readonly #streams = new Map<string, { stream: LogStream; ended: Promise<void> }>()
  readonly #ended = new AbortController()
  #lost = 0

  constructor(parts: LogStreamsParts) {
    const { settings, send, peer, clock, log, mask } = parts
    this.#parts = parts
    this.#store = createLineStore(settings.maxMemoryBytes, parts.spill, () => this.#relieve())
    this.#shared = {
      accountId: settings.accountId,
      client: clientOf(logService, {
        baseUrl: settings.baseUrl,
        headers: { [logTokenHeader]: settings.token },
        send,
        now: clock.now,
      }),
      peer,
      store: this.#store,
      encode: createLineEncoder(mask),
      clock,
      log,
      batch: settings.batch,
      onLost: (lines) => {
        this.#lost += lines
      },
    }
    for (const [key, batches] of this.#store.recovered()) {
      const stream = new LogStream(key, 1, this.#shared)
      stream.adopt(batches)
      this.#start(stream)
    }
  }

  open(key: string, start: { from: number }): void {
    const known = this.#streams.get(key)?.stream
    if (known && known.life !== 'closed') known.claim(start.from)
    else this.#start(new LogStream(key, start.from, this.#shared))
  }

  write(key: string, entry: LogEntry): number | undefined {
    const stream = this.#streams.get(key)?.stream
    if (stream?.life === 'open' && !this.#ended.signal.aborted) return stream.write(entry)
    this.#lost++
    this.#parts.log.warn({ key, lost: this.#lost }, 'a line came for a log that is not open')
    return undefined
  }

  async ready(signal: AbortSignal): Promise<void> {
    while (this.#store.full && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#store.onRoom(resolve)
      await beats(promise, signal)
    }
  }

  position(key: string): number {
    return this.#streams.get(key)?.stream.position ?? 0
  }

  async close(key: string, signal: AbortSignal): Promise<boolean> {
    const known = this.#streams.get(key)
    if (!known) return true
    known.stream.close()
    return beats(known.ended, signal)
  }

  async flush(signal: AbortSignal): Promise<boolean> {
    const streams = [...this.#streams.values()].map(({ stream }) => stream)
    for (const stream of streams) stream.flush()
    return beats(Promise.all(streams.map((stream) => stream.drained())), signal)
  }

  stats(): LogStats {
    return { streams: this.#streams.size, lost: this.#lost, memoryBytes: this.#store.memory }
  }

  async stop(signal: AbortSignal): Promise<number> {
    await this.flush(signal)
    const left = [...this.#streams.values()]
    this.#ended.abort(new Error('the log streams were stopped'))
    await Promise.allSettled(left.map(({ ended }) => ended))
    let lost = 0
    for (const { stream } of left) if (!stream.spill()) lost += stream.linesInMemory
    if (lost > 0) this.#parts.log.error({ lost }, `${lost} unsent log lines are lost at the end`)
    this.#lost += lost
    return lost
  }

  #start(stream: LogStream): void {
    const { key } = stream
    const ended = stream.run(this.#ended.signal).then(() => {
      if (this.#streams.get(key)?.stream === stream) this.#streams.delete(key)
    })
    ended.catch((thrown: unknown) => {
      if (!this.#ended.signal.aborted) this.#parts.log.error({ err: thrown, key }, 'a log failed')
    })
    this.#streams.set(key, { stream, ended })
  }

  #relieve(): void {
    const enough = this.#parts.settings.maxMemoryBytes / 2
    for (const { stream } of this.#streams.values()) {
      if (this.#store.memory <= enough || !stream.spill()) return
    }
  }
}

/** Logs to one log-service: ordered per key, batched, masked, bounded in memory, at least once. */
export function createLogStreams(parts: LogStreamsParts): LogStreams {
  return new Streams(parts)
}

/** For runners without a log-service: gives out positions and keeps nothing. */
export function noLogStreams(): LogStreams {
  const positions = new Map<string, number>()
  return {
    open: (key, { from }) => void positions.set(key, from - 1),
    write(key) {
      const pos = (positions.get(key) ?? 0) + 1
      positions.set(key, pos)
      return pos
    },
    ready: async () => undefined,
    position: (key) => positions.get(key) ?? 0,
    async close(key) {
      positions.delete(key)
      return true
    },
    flush: async () => true,
    stats: () => ({ streams: positions.size, lost: 0, memoryBytes: 0 }),
    stop: async () => 0,
  }
}
