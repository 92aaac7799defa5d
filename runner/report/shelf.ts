import { createHash } from 'node:crypto'
import * as z from 'zod'
import type { Spill } from '../../lib/spill.ts'
import { scopeQuery } from '../../model/wire/kserver.ts'
import type { Snapshot } from './snapshot.ts'

/** An unsent snapshot; its body is in memory or in a file. */
export type Item = Omit<Snapshot, 'body'> & { bytes: number; body?: string; file?: string }

/** Where unsent snapshots lie: memory up to a bound, then disk. */
export type Shelf = {
  /** undefined: no room anywhere */
  put(snapshot: Snapshot, preferDisk: boolean): Item | undefined
  read(item: Item): string | undefined
  /** Forgets the item; a file that `successor` has taken over stays. */
  drop(item: Item, successor?: Item): void
  /** false: it could not be written */
  toDisk(item: Item): boolean
  /** What a former process left unsent. */
  recovered(): Item[]
}

const filed = z.object({
  run: z.string(),
  infra: z.string(),
  scope: scopeQuery,
  create: z.boolean(),
  completed: z.boolean(),
  body: z.string(),
})

/** CREATE and newest state of a run have one file each, so that a newer state takes the place of the older in one rename. */
const fileOf = ({ run, create }: { run: string; create: boolean }): string =>
  `${createHash('sha256').update(run).digest('hex').slice(0, 32)}.${create ? 'create' : 'latest'}.json`

const onDisk = ({ body, ...rest }: Snapshot, file: string): Item => ({
  ...rest,
  bytes: Buffer.byteLength(body),
  file,
})

class SpillingShelf implements Shelf {
  readonly #maxMemoryBytes: number
  readonly #spill: Spill | undefined
  #memory = 0

  constructor(maxMemoryBytes: number, spill: Spill | undefined) {
    this.#maxMemoryBytes = maxMemoryBytes
    this.#spill = spill
  }

  put(snapshot: Snapshot, preferDisk: boolean): Item | undefined {
    return preferDisk
      ? (this.#inFile(snapshot) ?? this.#inMemory(snapshot))
      : (this.#inMemory(snapshot) ?? this.#inFile(snapshot))
  }

  read(item: Item): string | undefined {
    return item.body ?? (item.file ? this.#readFile(item.file)?.body : undefined)
  }

  drop(item: Item, successor?: Item): void {
    if (item.body !== undefined) this.#memory -= item.bytes
    if (item.file && item.file !== successor?.file) this.#spill?.remove(item.file)
  }

  toDisk(item: Item): boolean {
    if (item.file) return true
    const file = item.body === undefined ? undefined : this.#write({ ...item, body: item.body })
    if (file === undefined) return false
    this.#memory -= item.bytes
    item.file = file
    delete item.body
    return true
  }

  recovered(): Item[] {
    const items: Item[] = []
    for (const file of this.#spill?.list() ?? []) {
      const found = this.#readFile(file)
      if (found) items.push(onDisk({ ...found, seq: 0 }, file))
      else this.#spill?.remove(file)
    }
    return items
  }

  #inMemory(snapshot: Snapshot): Item | undefined {
    const bytes = Buffer.byteLength(snapshot.body)
    if (this.#memory + bytes > this.#maxMemoryBytes) return undefined
    this.#memory += bytes
    return { ...snapshot, bytes }
  }

  #inFile(snapshot: Snapshot): Item | undefined {
    const file = this.#write(snapshot)
    return file === undefined ? undefined : onDisk(snapshot, file)
  }

  #write(snapshot: Omit<Snapshot, 'seq'>): string | undefined {
    const { run, infra, scope, create, completed, body } = snapshot
    const file = fileOf(snapshot)
    const text = JSON.stringify({ run, infra, scope, create, completed, body })
    return this.#spill?.put(file, text) ? file : undefined
  }

  #readFile(name: string): z.infer<typeof filed> | undefined {
    try {
      return filed.parse(JSON.parse(this.#spill?.get(name) ?? ''))
    } catch {
      return undefined
    }
  }
}

/** A shelf with at most `maxMemoryBytes` of bodies in memory. */
export function createShelf(maxMemoryBytes: number, spill: Spill | undefined): Shelf {
  return new SpillingShelf(maxMemoryBytes, spill)
}
