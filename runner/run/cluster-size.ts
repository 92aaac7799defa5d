import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { nodes, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'

/** What the share of a cluster is counted in. */
export type Countable = 'Pod' | 'Node'
/** How many nodes there are, or pods that run, in the whole cluster. */
export type ClusterSize = (kind: Countable, signal: AbortSignal) => Promise<number>

/** A task that follows its targets looks every second or so; a cluster does not change its size that fast. */
const freshMs = 10_000

const ofKind = {
  Pod: { path: resourcePath(pods), query: { fieldSelector: 'status.phase=Running' } },
  Node: { path: resourcePath(nodes), query: {} },
}

/** Counts with the product's own rights, page by page, and at most once in ten seconds; keeps numbers only. */
export function clusterSizeIn({ kube, clock }: { kube: KubeClient; clock: Clock }): ClusterSize {
  const known = new Map<Countable, { size: number; at: number }>()
  return async (kind, signal) => {
    const last = known.get(kind)
    const age = last ? clock.now() - last.at : freshMs
    if (last && age >= 0 && age < freshMs) return last.size
    const { path, query } = ofKind[kind]
    const name = ({ metadata }: KubeObject) => ({ metadata: { name: metadata.name } }) as KubeObject
    const size = (await kube.list<KubeObject>(path, { signal, query }, name)).items.length
    known.set(kind, { size, at: clock.now() })
    return size
  }
}
