import type { KubeClient } from '../../lib/kube/client.ts'
import { namespaces, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'

const known = new WeakMap<KubeClient, string>()

/** uid of kube-system: journals of two clusters never meet. Asked for once. */
export async function clusterOf(client: KubeClient, signal: AbortSignal): Promise<string> {
  const before = known.get(client)
  if (before) return before
  const path = resourcePath({ ...namespaces, name: 'kube-system' })
  const { uid } = (await client.get<KubeObject>(path, { signal })).metadata
  known.set(client, uid)
  return uid
}
