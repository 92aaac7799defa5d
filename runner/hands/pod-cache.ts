import type { Cache } from '../../lib/kube/store.ts'
import type { KubeObject } from '../../lib/kube/types.ts'

export type ContainerStatus = {
  name: string
  restartCount: number
  containerID?: string
  state?: {
    running?: { startedAt?: string }
    waiting?: { reason?: string; message?: string }
    terminated?: { exitCode: number; reason?: string }
  }
}
export type Pod = KubeObject & {
  spec?: { nodeName?: string; containers?: { name: string }[] }
  status?: {
    phase?: string
    reason?: string
    message?: string
    containerStatuses?: ContainerStatus[]
  }
}

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

/** The pod will run nothing any more. */
export const isTerminal = (pod: Pod): boolean =>
  pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

/** kubelet refused the pod, as its requests do not fit on the node beside those of the others. */
export const nodeIsFull = (pod: Pod): boolean =>
  pod.status?.phase === 'Failed' && /^OutOf(cpu|memory)$/.test(pod.status.reason ?? '')

export const containerOf = (pod: Pod, name: string): ContainerStatus | undefined =>
  pod.status?.containerStatuses?.find((c) => c.name === name)

/** Why the pod does not start, when kubelet says so; null while it may still start. */
export function startTrouble(pod: Pod): string | null {
  const hopeless = [
    'ErrImageNeverPull',
    'InvalidImageName',
    'ImagePullBackOff',
    'ErrImagePull',
    'CreateContainerConfigError',
    'CreateContainerError',
    'RunContainerError',
  ]
  for (const status of pod.status?.containerStatuses ?? []) {
    const { reason = '', message = '' } = status.state?.waiting ?? {}
    if (hopeless.includes(reason)) return `${reason}: ${message || 'no message'}`
  }
  return null
}
