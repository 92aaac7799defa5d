import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { ReceivedLogLine } from '../../model/wire/log-service.ts'
import { type Migrations, openDatabase, transaction } from './database.ts'

const migrations: Migrations = [
  `CREATE TABLE streams (
     id INTEGER PRIMARY KEY,
     account TEXT NOT NULL,
     key TEXT NOT NULL,
     last_pos INTEGER NOT NULL DEFAULT 0,
     bytes INTEGER NOT NULL DEFAULT 0,
     opened_at INTEGER NOT NULL,
     closed_at INTEGER,
     written_at INTEGER NOT NULL,
     UNIQUE (account, key)
   ) STRICT;
   CREATE INDEX streams_by_key ON streams (key);
   CREATE INDEX streams_oldest ON streams (written_at);
   CREATE TABLE chunks (
     id INTEGER PRIMARY KEY,
     stream INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
     first_pos INTEGER NOT NULL,
     last_pos INTEGER NOT NULL,
     lines TEXT NOT NULL
   ) STRICT;
   CREATE INDEX chunks_by_position ON chunks (stream, last_pos)`,
]

export type StreamInfo = {
  accountId: string
  key: string
  lastPos: number
  bytes: number
  openedAt: number
  closedAt: number | undefined
}
export type StreamName = { accountId: string; key: string }
export type LogRetention = { maxBytes: number; maxAgeMs: number; maxStreamBytes: number }

export type LogStore = {
  open(stream: StreamName, now: number): void
  close(stream: StreamName, now: number): void
  /** Keeps lines once: a repeated line (same position, same text) is recognised. False: the stream is full. */
  append(stream: StreamName, lines: ReceivedLogLine[], now: number): boolean
  /** Lines behind a position, by position. */
  tail(key: string, after: number, limit: number): ReceivedLogLine[] | undefined
  find(key: string): StreamInfo | undefined
  /** Removes what is too old, then the oldest until the rest fits. Returns the number of streams removed. */
  prune(retention: Omit<LogRetention, 'maxStreamBytes'>, now: number): number
  check(): void
  end(): void
}

function statements(db: DatabaseSync) {
  return {
    stream: db.prepare('SELECT * FROM streams WHERE account = ? AND key = ?'),
    byKey: db.prepare('SELECT * FROM streams WHERE key = ? ORDER BY written_at DESC LIMIT 1'),
    open: db.prepare(
      `INSERT INTO streams (account, key, opened_at, written_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (account, key) DO UPDATE SET closed_at = NULL`,
    ),
    close: db.prepare('UPDATE streams SET closed_at = ? WHERE account = ? AND key = ?'),
    grow: db.prepare(
      'UPDATE streams SET last_pos = MAX(last_pos, ?), bytes = bytes + ?, written_at = ? WHERE id = ?',
    ),
    chunk: db.prepare(
      'INSERT INTO chunks (stream, first_pos, last_pos, lines) VALUES (?, ?, ?, ?)',
    ),
    overlapping: db.prepare(
      'SELECT lines FROM chunks WHERE stream = ? AND last_pos >= ? AND first_pos <= ?',
    ),
    behind: db.prepare(
      'SELECT first_pos, lines FROM chunks WHERE stream = ? AND last_pos > ? ORDER BY first_pos, id',
    ),
    old: db.prepare('DELETE FROM streams WHERE written_at < ?'),
    oldest: db.prepare('SELECT id, bytes FROM streams ORDER BY written_at LIMIT 1'),
    remove: db.prepare('DELETE FROM streams WHERE id = ?'),
    size: db.prepare('SELECT COALESCE(SUM(bytes), 0) AS bytes FROM streams'),
  }
}

const idOf = (line: ReceivedLogLine): string => `${line.pos} ${line.level} ${line.time} ${line.out}`
const parse = (row: Record<string, unknown>): ReceivedLogLine[] => JSON.parse(String(row.lines))

/** Agents without positions (0) get the next ones. */
function withPositions(lines: ReceivedLogLine[], last: number): ReceivedLogLine[] {
  let next = last
  return lines.map((line) => {
    if (line.pos > 0) {
      next = Math.max(next, line.pos)
      return line
    }
    next++
    return { ...line, pos: next }
  })
}

class SqliteLogs implements LogStore {
  readonly #db: DatabaseSync
  readonly #sql: ReturnType<typeof statements>
  readonly #maxStreamBytes: number

  constructor(file: string, maxStreamBytes: number) {
    this.#db = openDatabase(file, { migrations, durability: 'normal' })
    this.#sql = statements(this.#db)
    this.#maxStreamBytes = maxStreamBytes
  }

  open({ accountId, key }: StreamName, now: number): void {
    this.#sql.open.run(accountId, key, now, now)
  }

  close({ accountId, key }: StreamName, now: number): void {
    this.#sql.close.run(now, accountId, key)
  }

  append(name: StreamName, lines: ReceivedLogLine[], now: number): boolean {
    return lines.length === 0 || transaction(this.#db, () => this.#keep(name, lines, now))
  }

  tail(key: string, after: number, limit: number): ReceivedLogLine[] | undefined {
    const stream = this.#sql.byKey.get(key)
    if (!stream) return undefined
    const lines: ReceivedLogLine[] = []
    let highest = after
    for (const row of this.#sql.behind.iterate(Number(stream.id), after)) {
      // chunks of two writers may overlap: enough is enough only when the next begins behind all of these
      if (lines.length >= limit && Number(row.first_pos) > highest) break
      const more = parse(row).filter((line) => line.pos > after)
      for (const line of more) highest = Math.max(highest, line.pos)
      lines.push(...more)
    }
    return lines.sort((a, b) => a.pos - b.pos).slice(0, limit)
  }

  find(key: string): StreamInfo | undefined {
    const row = this.#sql.byKey.get(key)
    if (!row) return undefined
    return {
      accountId: String(row.account),
      key,
      lastPos: Number(row.last_pos),
      bytes: Number(row.bytes),
      openedAt: Number(row.opened_at),
      closedAt: row.closed_at === null ? undefined : Number(row.closed_at),
    }
  }

  prune({ maxBytes, maxAgeMs }: Omit<LogRetention, 'maxStreamBytes'>, now: number): number {
    return transaction(this.#db, () => {
      const old = Number(this.#sql.old.run(now - maxAgeMs).changes)
      return old + this.#pruneToSize(maxBytes)
    })
  }

  check(): void {
    this.#sql.size.get()
  }

  end(): void {
    this.#db.close()
  }

  #streamOf({ accountId, key }: StreamName, now: number): Record<string, SQLOutputValue> {
    const known = this.#sql.stream.get(accountId, key)
    if (known) return known
    this.#sql.open.run(accountId, key, now, now)
    const made = this.#sql.stream.get(accountId, key)
    if (!made) throw new Error(`log stream ${key} could not be made`)
    return made
  }

  #keep(name: StreamName, received: ReceivedLogLine[], now: number): boolean {
    const stream = this.#streamOf(name, now)
    const [id, last] = [Number(stream.id), Number(stream.last_pos)]
    if (Number(stream.bytes) >= this.#maxStreamBytes) return false
    const lines = this.#unseen(id, last, withPositions(received, last))
    if (lines.length === 0) return true
    const text = JSON.stringify(lines)
    const { lowest, highest } = span(lines)
    this.#sql.chunk.run(id, lowest, highest, text)
    this.#sql.grow.run(highest, Buffer.byteLength(text), now, id)
    return true
  }

  #unseen(stream: number, last: number, lines: ReceivedLogLine[]): ReceivedLogLine[] {
    const { lowest, highest } = span(lines)
    if (lowest > last) return lines
    const rows = this.#sql.overlapping.all(stream, lowest, highest)
    const kept = new Set(rows.flatMap((row) => parse(row).map(idOf)))
    return lines.filter((line) => !kept.has(idOf(line)))
  }

  #pruneToSize(maxBytes: number): number {
    let removed = 0
    let bytes = Number(this.#sql.size.get()?.bytes)
    while (bytes > maxBytes) {
      const oldest = this.#sql.oldest.get()
      if (!oldest) break
      bytes -= Number(oldest.bytes)
      this.#sql.remove.run(Number(oldest.id))
      removed++
    }
    return removed
  }
}

function span(lines: ReceivedLogLine[]): { lowest: number; highest: number } {
  let lowest = Number.POSITIVE_INFINITY
  let highest = 0
  for (const { pos } of lines) {
    lowest = Math.min(lowest, pos)
    highest = Math.max(highest, pos)
  }
  return { lowest, highest }
}

/** Logs in one SQLite file, in chunks as they came. */
export function openLogStore(file: string, maxStreamBytes: number): LogStore {
  return new SqliteLogs(file, maxStreamBytes)
}
