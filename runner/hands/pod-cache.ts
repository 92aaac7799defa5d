import type { Cache } from '../../lib/kube/store.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { FaultPodFacts } from '../../model/fault-pod-recovery.ts'

export type Pod = KubeObject &
  FaultPodFacts & { spec?: { nodeName?: string; containers?: { name: string; image?: string }[] } }

/** Waits until the pod (undefined: it is not there) satisfies `ready`, as the cache sees it. */
export function podWhen(
  cache: Cache<Pod>,
  key: string,
  ready: (pod: Pod | undefined) => boolean,
  signal: AbortSignal,
): Promise<Pod | undefined> {
  return new Promise((resolve, reject) => {
    const leave = cache.onChange(({ object }) => {
      if (`${object.metadata.namespace}/${object.metadata.name}` === key) look()
    })
    const onAbort = (): void => {
      leave()
      reject(signal.reason)
    }
    function look(): void {
      const pod = cache.get(key)
      if (!ready(pod)) return
      leave()
      signal.removeEventListener('abort', onAbort)
      resolve(pod)
    }
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    look()
  })
}
