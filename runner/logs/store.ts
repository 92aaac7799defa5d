import { createHash } from 'node:crypto'
import * as z from 'zod'
import type { Spill } from '../../lib/spill.ts'

/** Lines that are sent together; their text is in memory or in a file. */
export type Batch = { lines: number; bytes: number; text?: string; file?: string }

/** Memory and disk for unsent lines, shared by all streams. */
export type LineStore = {
  /** memory for unsent lines, characters */
  memory: number
  /** false: the line has to be dropped */
  hasRoom(bytes: number): boolean
  /** True when lines are being dropped: memory is full and disk did not help. */
  readonly full: boolean
  /** Called once, when something was delivered the next time. */
  onRoom(wake: () => void): void
  /** Moves a batch to disk; false when disk is full or absent. */
  toDisk(key: string, batch: Batch): boolean
  read(batch: Batch): string | undefined
  drop(batch: Batch): void
  /** What a former process left unsent, in order, by key. */
  recovered(): Map<string, Batch[]>
}

const heading = z.object({ key: z.string(), lines: z.number().int() })

function readHeading(text: string): z.infer<typeof heading> | undefined {
  try {
    return heading.parse(JSON.parse(text.slice(0, text.indexOf('\n'))))
  } catch {
    return undefined
  }
}

class SpillingStore implements LineStore {
  memory = 0
  readonly #maxMemory: number
  readonly #spill: Spill | undefined
  readonly #relieve: () => void
  readonly #left: string[]
  readonly #waiting = new Set<() => void>()
  #written: number
  /** nothing more goes to disk until something was delivered: asking again for every line would cost more than the line */
  #blocked = false

  constructor(maxMemory: number, spill: Spill | undefined, relieve: () => void) {
    this.#maxMemory = maxMemory
    this.#spill = spill
    this.#relieve = relieve
    this.#left = spill?.list() ?? []
    this.#written = Number.parseInt(this.#left.at(-1) ?? '0', 10) || 0
  }

  get full(): boolean {
    return this.#blocked
  }

  onRoom(wake: () => void): void {
    this.#waiting.add(wake)
  }

  hasRoom(bytes: number): boolean {
    if (this.memory + bytes <= this.#maxMemory) return true
    if (this.#blocked) return false
    this.#relieve()
    this.#blocked = this.memory + bytes > this.#maxMemory
    return !this.#blocked
  }

  toDisk(key: string, batch: Batch): boolean {
    if (batch.file) return true
    if (!this.#spill || batch.text === undefined) return false
    const hash = createHash('sha256').update(key).digest('hex').slice(0, 16)
    const file = `${String(this.#written + 1).padStart(12, '0')}-${hash}.jsonl`
    const head = JSON.stringify({ key, lines: batch.lines })
    if (!this.#spill.put(file, `${head}\n${batch.text}`)) return false
    this.#written++
    this.memory -= batch.bytes
    batch.file = file
    delete batch.text
    return true
  }

  read(batch: Batch): string | undefined {
    if (batch.text !== undefined) return batch.text
    const text = batch.file ? this.#spill?.get(batch.file) : undefined
    return text?.slice(text.indexOf('\n') + 1)
  }

  drop(batch: Batch): void {
    this.#blocked = false
    if (batch.text !== undefined) this.memory -= batch.bytes
    if (batch.file) this.#spill?.remove(batch.file)
    delete batch.text
    delete batch.file
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }

  recovered(): Map<string, Batch[]> {
    const byKey = new Map<string, Batch[]>()
    for (const file of this.#left) {
      const text = this.#spill?.get(file) ?? ''
      const head = readHeading(text)
      if (!head) this.#spill?.remove(file)
      else {
        const batches = byKey.get(head.key) ?? []
        batches.push({ lines: head.lines, bytes: text.length, file })
        byKey.set(head.key, batches)
      }
    }
    return byKey
  }
}

/** A store with at most `maxMemory` characters in memory; `relieve` is asked to move some to disk before a line is dropped. */
export function createLineStore(
  maxMemory: number,
  spill: Spill | undefined,
  relieve: () => void,
): LineStore {
  return new SpillingStore(maxMemory, spill, relieve)
}
