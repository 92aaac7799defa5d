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
  /** refuse to write over a newer version of the object than `compute` saw */
  fenced?: boolean
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

/** A StatusWriter. Always sends its whole set: a field that it owned and leaves out is deleted. */
export function createStatusWriter(options: StatusWriterOptions): StatusWriter {
  const last = createMemory(remembered)
  return {
    forget: (uid) => last.forget(uid),
    async write<T extends WithStatus>(write: StatusWrite<T>, call: Call): Promise<T | undefined> {
      let current: T | undefined = write.object
      for (let attempt = 1; current; attempt++) {
        const status = write.compute(current)
        if (status === undefined || last.isSame(current, status)) return current
        try {
          const written = await applyStatus(options, { ...write, object: current, status }, call)
          last.note(written.metadata.uid, status)
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

type Applied = {
  path: string
  object: WithStatus
  status: Record<string, unknown>
  fenced?: boolean
}

function applyStatus(options: StatusWriterOptions, of: Applied, call: Call): Promise<WithStatus> {
  const { client, fieldManager, apiVersion, kind } = options
  const { name, namespace, uid, resourceVersion } = of.object.metadata
  const body = {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace ? { namespace } : {}),
      // without the uid an apply could create or hit a namesake
      uid,
      ...(of.fenced ? { resourceVersion } : {}),
    },
    status: of.status,
  }
  return client.apply<WithStatus>(`${of.path}/status`, body, { ...call, fieldManager })
}

type Memory = {
  isSame(current: WithStatus, status: Record<string, unknown>): boolean
  note(uid: string, status: Record<string, unknown>): void
  forget(uid: string): void
}

function createMemory(limit: number): Memory {
  const sent = new Map<string, string>()
  return {
    isSame: (current, status) =>
      sent.get(current.metadata.uid) === JSON.stringify(status) && contains(current.status, status),
    note(uid, status) {
      sent.delete(uid)
      sent.set(uid, JSON.stringify(status))
      const [oldest] = sent.keys()
      if (sent.size > limit && oldest !== undefined) sent.delete(oldest)
    },
    forget: (uid) => {
      sent.delete(uid)
    },
  }
}

/** True when all that `part` says stands in `whole` too. Lists are compared as wholes. */
export function contains(whole: unknown, part: unknown): boolean {
  if (typeof part !== 'object' || part === null || Array.isArray(part))
    return isDeepStrictEqual(whole, part)
  if (typeof whole !== 'object' || whole === null) return false
  const there = whole as Record<string, unknown>
  return Object.entries(part).every(([key, value]) => contains(there[key], value))
}
