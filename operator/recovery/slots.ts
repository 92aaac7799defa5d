import type { KubeClient } from '../../lib/kube/client.ts'
import { leases, resourcePath } from '../../lib/kube/paths.ts'
import { removeExactly } from '../../lib/kube/remove.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { slotSelector } from '../../model/slots.ts'

/** Gives back what targets of the experiment with this uid held alone: its runner died before it did so. */
export async function freeSlots(
  uid: string,
  { client, namespace, signal }: { client: KubeClient; namespace: string; signal: AbortSignal },
): Promise<void> {
  const query = { labelSelector: slotSelector(uid) }
  const path = resourcePath({ ...leases, namespace })
  const { items } = await client.list<KubeObject>(path, { signal, query })
  const remove = ({ metadata: { name, uid, resourceVersion } }: KubeObject) =>
    removeExactly(client, resourcePath({ ...leases, namespace, name }), {
      ...{ uid, resourceVersion, signal },
    })
  await Promise.all(items.map(remove))
}
