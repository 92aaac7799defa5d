import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { isAlreadyExists, isNotFound } from '../../lib/kube/errors.ts'
import { namespaces, type ResourceKind, resourcePath } from '../../lib/kube/paths.ts'
import type { Document } from './demo.ts'

/** What most calls here need. */
export type Hands = { client: KubeClient; clock: Clock; signal: AbortSignal }

const fieldManager = 'chaosplane-start'

/** Server-side apply, in order. */
export async function applyAll(documents: readonly Document[], hands: Hands): Promise<void> {
  for (const { kind, body } of documents) {
    const { name, namespace } = body.metadata
    const path = resourcePath({ ...kind, name, ...(namespace ? { namespace } : {}) })
    await hands.client.apply(path, body, { signal: hands.signal, fieldManager, force: true })
  }
}

/** Makes a namespace that must not exist; false when it does. */
export async function createNamespace({ body }: Document, hands: Hands): Promise<boolean> {
  try {
    await hands.client.create(resourcePath(namespaces), body, { signal: hands.signal })
    return true
  } catch (error) {
    if (isAlreadyExists(error)) return false
    throw error
  }
}

/** One object, and how long its removal may take. */
export type Removal = { kind: ResourceKind; name: string; namespace?: string; deadlineMs: number }

const pollMs = 200

/** Deletes an object and waits until it is gone; what is gone already is fine. */
export async function removeAndWait(of: Removal, hands: Hands): Promise<void> {
  const { client, clock, signal } = hands
  const { kind, name, namespace, deadlineMs } = of
  const path = resourcePath({ ...kind, name, ...(namespace ? { namespace } : {}) })
  const until = clock.now() + deadlineMs
  try {
    await client.remove(path, { signal, deadlineMs })
  } catch (error) {
    if (isNotFound(error)) return
    throw error
  }
  while (await client.find(path, { signal, deadlineMs })) {
    if (clock.now() > until)
      throw new Error(`${kind.plural} ${name} is still there after ${deadlineMs / 1000} s`)
    await clock.sleep(pollMs, signal)
  }
}
