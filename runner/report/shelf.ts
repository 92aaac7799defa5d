import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Spill } from '../../lib/spill.ts'
import { scopeQuery } from '../../model/wire/kserver.ts'
import type { Snapshot } from './outbox.ts'

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

/** A shelf with at most `maxMemoryBytes` of bodies in memory. */
export function createShelf(maxMemoryBytes: number, spill: Spill | undefined): Shelf {
  let memory = 0

  function write(snapshot: Omit<Snapshot, 'seq'>): string | undefined {
    const { run, infra, scope, create, completed, body } = snapshot
    const file = fileOf(snapshot)
    const text = JSON.stringify({ run, infra, scope, create, completed, body })
    return spill?.put(file, text) ? file : undefined
  }
  const onDisk = ({ body, ...rest }: Snapshot, file: string): Item => ({
    ...rest,
    bytes: Buffer.byteLength(body),
    file,
  })
  function inMemory(snapshot: Snapshot): Item | undefined {
    const bytes = Buffer.byteLength(snapshot.body)
    if (memory + bytes > maxMemoryBytes) return undefined
    memory += bytes
    return { ...snapshot, bytes }
  }
  function toDisk(snapshot: Snapshot): Item | undefined {
    const file = write(snapshot)
    return file === undefined ? undefined : onDisk(snapshot, file)
  }
  function readFiled(name: string): z.infer<typeof filed> | undefined {
    try {
      return filed.parse(JSON.parse(spill?.get(name) ?? ''))
    } catch {
      return undefined
    }
  }

  return {
    put: (snapshot, preferDisk) =>
      preferDisk
        ? (toDisk(snapshot) ?? inMemory(snapshot))
        : (inMemory(snapshot) ?? toDisk(snapshot)),
    read: (item) => item.body ?? (item.file ? readFiled(item.file)?.body : undefined),
    drop(item, successor) {
      if (item.body !== undefined) memory -= item.bytes
      if (item.file && item.file !== successor?.file) spill?.remove(item.file)
    },
    toDisk(item) {
      if (item.file) return true
      const file = item.body === undefined ? undefined : write({ ...item, body: item.body })
      if (file === undefined) return false
      memory -= item.bytes
      item.file = file
      delete item.body
      return true
    },
    recovered() {
      const items: Item[] = []
      for (const file of spill?.list() ?? []) {
        const found = readFiled(file)
        if (found) items.push(onDisk({ ...found, seq: 0 }, file))
        else spill?.remove(file)
      }
      return items
    },
  }
}
