import { isDeepStrictEqual } from 'node:util'
import type { Call, KubeClient } from './client.ts'
import { isConflict, isNotFound } from './errors.ts'
import type { KubeObject } from './types.ts'

/** An object with a status. */
export type WithStatus = KubeObject & { status?: Record<string, unknown> }

/** How one writer of status fields is made. */
export type StatusWriterOptions = {
  client: KubeClient
  /** one name per writer: the API server keeps the fields of two writers apart */
  fieldManager: string
  /** `apiVersion` and `kind` of what is written */
  apiVersion: string
  kind: string
}

/** One write. */
export type StatusWrite<T extends WithStatus> = {
  /** path of the object, without `/status` */
  path: string
  /** as far as the cache knows it */
  object: T
  /**
   * The whole set of this writer's fields, computed from what is passed in; undefined: nothing to write.
   * Called again with the fresh object after a conflict.
   */
  compute: (current: T) => Record<string, unknown> | undefined
}

/** Writes the status fields of one manager by server-side apply. */
export interface StatusWriter {
  /** the object after the write (or as it was, when there was nothing to change); undefined when it is gone */
  write<T extends WithStatus>(write: StatusWrite<T>, call: Call): Promise<T | undefined>
  /** the object is gone: drop what is remembered about it */
  forget(uid: string): void
}

const tries = 5
/** Remembered last writes; beyond it a repeated write goes to the server, which drops it. */
const remembered = 1_000

/**
 * A StatusWriter. Always sends its whole set: a field that it owned and leaves out is deleted. Always refuses
 * to write over a newer object than `compute` saw; that also spares a namesake, for the API server does not
 * look at the uid in a write to `/status` of a custom resource.
 */
export function createStatusWriter(options: StatusWriterOptions): StatusWriter {
  const last = createMemory(remembered)
  return {
    forget: (uid) => last.forget(uid),
    async write<T extends WithStatus>(write: StatusWrite<T>, call: Call): Promise<T | undefined> {
      // our own last write may not have come back through the watch yet
      let current: T | undefined = last.newest(write.object)
      for (let attempt = 1; current; attempt++) {
        const status = write.compute(current)
        if (status === undefined || last.isSame(current, status)) return current
        try {
          const written = await applyStatus(options, { ...write, object: current, status }, call)
          last.note(written, status)
          return written as T
        } catch (error) {
          if (isNotFound(error)) return undefined
          if (!isConflict(error) || attempt === tries) throw error
          current = await readAgain(options.client, write, call)
        }
      }
      return undefined
    },
  }
}

/** The object now; undefined when it is gone or another one has its name. */
async function readAgain<T extends WithStatus>(
  client: KubeClient,
  { path, object }: StatusWrite<T>,
  call: Call,
): Promise<T | undefined> {
  const fresh = await client.find<T>(path, call)
  return fresh?.metadata.uid === object.metadata.uid ? fresh : undefined
}

type Applied = { path: string; object: WithStatus; status: Record<string, unknown> }

function applyStatus(options: StatusWriterOptions, of: Applied, call: Call): Promise<WithStatus> {
  const { client, fieldManager, apiVersion, kind } = options
  const { name, namespace, resourceVersion } = of.object.metadata
  const metadata = { name, ...(namespace ? { namespace } : {}), resourceVersion }
  const body = { apiVersion, kind, metadata, status: of.status }
  return client.apply<WithStatus>(`${of.path}/status`, body, { ...call, fieldManager })
}

type Memory = {
  /** the object, or what our last write to it returned when that is newer */
  newest<T extends WithStatus>(object: T): T
  isSame(current: WithStatus, status: Record<string, unknown>): boolean
  note(written: WithStatus, status: Record<string, unknown>): void
  forget(uid: string): void
}
type Remembered = { sent: string; written: WithStatus | undefined }

function createMemory(limit: number): Memory {
  const writes = new Map<string, Remembered>()
  return {
    newest<T extends WithStatus>(object: T): T {
      const last = writes.get(object.metadata.uid)
      if (!last?.written) return object
      if (versionOf(last.written) > versionOf(object)) return last.written as T
      last.written = undefined
      return object
    },
    isSame: (current, status) =>
      writes.get(current.metadata.uid)?.sent === JSON.stringify(status) &&
      contains(current.status, status),
    note(written, status) {
      const { uid } = written.metadata
      writes.delete(uid)
      writes.set(uid, { sent: JSON.stringify(status), written })
      const [oldest] = writes.keys()
      if (writes.size > limit && oldest !== undefined) writes.delete(oldest)
    },
    forget: (uid) => {
      writes.delete(uid)
    },
  }
}

/** Versions of one resource can be compared as numbers: Kubernetes promises it since 1.35, and etcd always did so. */
const versionOf = (object: WithStatus): number => Number(object.metadata.resourceVersion)

/** True when all that `part` says stands in `whole` too. Lists are compared as wholes. */
export function contains(whole: unknown, part: unknown): boolean {
  if (typeof part !== 'object' || part === null || Array.isArray(part))
    return isDeepStrictEqual(whole, part)
  if (typeof whole !== 'object' || whole === null) return false
  const there = whole as Record<string, unknown>
  return Object.entries(part).every(([key, value]) => contains(there[key], value))
}
