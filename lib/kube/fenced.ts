import { changedWrites } from './changed-writes.ts'
import type { Call, KubeClient } from './client.ts'

/**
 * The same client, each of whose writes is sent only while `mayWrite` says so, asked directly before every attempt: a
 * program that was stopped in between wakes up to another leader, and none of its timers has run yet.
 */
export function fenced(kube: KubeClient, mayWrite: () => boolean): KubeClient {
  const only = <C extends Call>(call: C): C => ({ ...call, mayWrite })
  return { ...kube, ...changedWrites(kube, only) }
}
