import { changedWrites } from './changed-writes.ts'
import type { Call, KubeClient } from './client.ts'

/**
 * The same client, whose calls are one attempt each, of `deadlineMs` at most: for who tries again by itself and must not
 * sit in a long pause when the API server comes back.
 */
export function hurried(kube: KubeClient, deadlineMs: number): KubeClient {
  const soon = <C extends Call>(call: C): C => ({ deadlineMs, once: true, ...call })
  return {
    ...kube,
    get: (path, call) => kube.get(path, soon(call)),
    find: (path, call) => kube.find(path, soon(call)),
    list: (path, call) => kube.list(path, soon(call)),
    ...changedWrites(kube, soon),
    text: (path, call) => kube.text(path, soon(call)),
  }
}
