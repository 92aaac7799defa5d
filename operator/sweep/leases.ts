import { halt } from '../../lib/crash.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { leases, resourcePath } from '../../lib/kube/paths.ts'
import { removeExactly } from '../../lib/kube/remove.ts'
import type { Cache } from '../../lib/kube/store.ts'
import { parseKey } from '../../lib/kube/types.ts'
import type { Pass } from '../../lib/kube/workers.ts'
import type { Log } from '../../lib/log.ts'
import type { RunnerLease } from '../runners.ts'

/** Whoever was to be told of the death of a runner by its Lease has heard of it long before this. */
export const keptMs = 60_000

/** What sweeping Leases of runners needs. */
export type LeaseSweepParts = {
  client: KubeClient
  leases: Cache<RunnerLease>
  /** whether the pod of the runner with this Lease is there */
  hasPod(lease: string): boolean
  /** since when the Lease has not moved, milliseconds */
  silentMs(lease: string): number
  log: Log
}

/** A pass over the Lease of one runner: one whose pod is gone goes too, once it has been silent for long. */
export function createLeaseSweep({
  client,
  leases: cache,
  hasPod,
  silentMs,
  log,
}: LeaseSweepParts): (key: string, signal: AbortSignal) => Promise<Pass> {
  return async (key, signal) => {
    const lease = cache.get(key)
    if (!lease || hasPod(lease.metadata.name)) return { next: 'idle' }
    const keepMs = keptMs - silentMs(lease.metadata.name)
    if (keepMs > 0) return { next: 'again', inMs: keepMs, reason: 'its runner may be asked for' }
    const path = resourcePath({ ...leases, namespace: '', ...parseKey(key) })
    CRASH: await halt('operator/lease-sweeping', lease.metadata.name)
    await removeExactly(client, path, { uid: lease.metadata.uid, signal })
    CRASH: await halt('operator/lease-swept', lease.metadata.name)
    log.info({ lease: key }, 'swept the Lease of a runner whose pod is gone')
    return { next: 'idle' }
  }
}
