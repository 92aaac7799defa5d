import type { KubeClient } from './client.ts'
import { isConflict, isNotFound } from './errors.ts'

/** One object as it was seen; with `resourceVersion` it must not have changed since either. */
export type Exactly = { uid: string; resourceVersion?: string }

/** Removes this object and no other: one that is gone, has changed, or has only its name is left alone. */
export async function removeExactly(
  client: KubeClient,
  path: string,
  { uid, resourceVersion, signal }: Exactly & { signal: AbortSignal },
): Promise<void> {
  try {
    await client.remove(path, { uid, ...(resourceVersion ? { resourceVersion } : {}), signal })
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error
  }
}
