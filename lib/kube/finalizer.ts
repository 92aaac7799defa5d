import type { Call, KubeClient } from './client.ts'
import { isConflict, isNotFound, KubeError } from './errors.ts'
import type { KubeObject } from './types.ts'

/** One finalizer of ours on one object. */
export type FinalizerOf<T extends KubeObject> = {
  client: KubeClient
  path: string
  object: T
  finalizer: string
}

/** What became of it. */
export type FinalizerResult<T extends KubeObject> =
  /** it stands (or it is off), and this is the object now */
  | { is: 'done'; object: T }
  /** the object is being deleted, and the API server takes no new finalizer */
  | { is: 'deleting'; object: T }
  /** no such object any more, or another one under its name */
  | { is: 'gone' }

const tries = 5

/** Adds the finalizer, keeping those of others: a write in between is noticed and the list read again. */
export async function addFinalizer<T extends KubeObject>(
  of: FinalizerOf<T>,
  call: Call,
): Promise<FinalizerResult<T>> {
  return await untilDone(of, call, async (current) => {
    const finalizers = current.metadata.finalizers ?? []
    if (finalizers.includes(of.finalizer)) return { is: 'done', object: current }
    if (current.metadata.deletionTimestamp) return { is: 'deleting', object: current }
    const { uid, resourceVersion } = current.metadata
    const metadata = { uid, resourceVersion, finalizers: [...finalizers, of.finalizer] }
    return { is: 'done', object: await of.client.mergePatch<T>(of.path, { metadata }, call) }
  })
}

/** Takes the finalizer off. The last one off a deleted object ends it. */
export async function removeFinalizer<T extends KubeObject>(
  of: FinalizerOf<T>,
  call: Call,
): Promise<FinalizerResult<T>> {
  return await untilDone(of, call, async (current) => {
    const at = current.metadata.finalizers?.indexOf(of.finalizer) ?? -1
    if (at < 0) return { is: 'done', object: current }
    const path = `/metadata/finalizers/${at}`
    const object = await of.client.jsonPatch<T>(
      of.path,
      [
        { op: 'test', path: '/metadata/uid', value: current.metadata.uid },
        { op: 'test', path, value: of.finalizer },
        { op: 'remove', path },
      ],
      call,
    )
    return { is: 'done', object }
  })
}

async function untilDone<T extends KubeObject>(
  of: FinalizerOf<T>,
  call: Call,
  attempt: (current: T) => Promise<FinalizerResult<T>>,
): Promise<FinalizerResult<T>> {
  let current = of.object
  for (let n = 1; ; n++) {
    try {
      return await attempt(current)
    } catch (error) {
      if (isNotFound(error)) return { is: 'gone' }
      if (!wasStale(error) || n === tries) throw error
      const fresh = await of.client.find<T>(of.path, call)
      if (!fresh || fresh.metadata.uid !== of.object.metadata.uid) return { is: 'gone' }
      current = fresh
    }
  }
}

/** A failed precondition: 409 for a resourceVersion or uid, 422 for a `test` that did not hold. */
const wasStale = (error: unknown): boolean =>
  isConflict(error) || (error instanceof KubeError && error.status === 422)
