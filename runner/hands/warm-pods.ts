import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { isAlreadyExists, isConflict, isNotFound, isRefusal } from '../../lib/kube/errors.ts'
import { pods, resourcePath } from '../../lib/kube/paths.ts'
import type { Cache } from '../../lib/kube/store.ts'
import type { Log } from '../../lib/log.ts'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { faultPodLabels, type OwnerReference, warmPod } from '../../model/fault-pod-spec.ts'
import { isTerminal } from '../../model/pod-life.ts'
import {
  claimLabels,
  fits,
  idleMs,
  isKept,
  isReady,
  isUnclaimed,
  type WarmMode,
  type WarmNeed,
} from '../../model/warm-pod.ts'
import type { Pod } from './pod-cache.ts'

export type WarmParts = {
  kube: KubeClient
  cache: Cache<Pod>
  clock: Clock
  log: Log
  namespace: string
  mode: WarmMode
  /** what the pods are made from, as fault pods are */
  image: string
  imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  imagePullSecrets: readonly string[]
  owner: OwnerReference | null
  priorityClassName: string | null
  /** letters that no pod before had in its name */
  newSuffix(): string
}

/** A pod may change while it is being claimed: kubelet writes its status. */
const claimTries = 3
const writeMs = 10_000

/** The warm pods of all nodes: runs claim them here, and those that nobody will claim are taken away. */
export class WarmPods {
  readonly #parts: WarmParts
  /** nodes and capabilities for which one is being made */
  readonly #making = new Set<string>()

  constructor(parts: WarmParts) {
    this.#parts = parts
  }

  get #pods(): Pod[] {
    const { cache, namespace } = this.#parts
    return cache.list().filter(({ metadata }) => metadata.namespace === namespace)
  }

  /** The name of a warm pod that is this order's from now on; null when none fits. */
  async claim(
    order: NodeOrder,
    capabilities: readonly string[],
    signal: AbortSignal,
  ): Promise<string | null> {
    const { mode, clock, image } = this.#parts
    if (mode === 'none') return null
    const need = { node: order.node, capabilities, image }
    for (const pod of this.#pods)
      if (fits(pod, need) && isReady(pod, clock.now()) && (await this.#take(pod, order, signal)))
        return pod.metadata.name
    return null
  }

  /** Tries again while the pod changes and is nobody's. */
  async #take(found: Pod, order: NodeOrder, signal: AbortSignal): Promise<boolean> {
    const { kube, namespace } = this.#parts
    const { name, uid } = found.metadata
    const path = resourcePath({ ...pods, namespace, name })
    const labels = claimLabels(order, this.#parts.clock.now())
    let pod = found
    for (let tries = 0; tries < claimTries; tries++) {
      const came = await this.#tryToTake(path, { pod, labels, signal })
      if (came !== 'changed') return came === 'ours'
      const now = await kube.find<Pod>(path, { signal })
      if (now?.metadata.uid !== uid) return false
      // the answer to our own patch was lost
      if (now.metadata.labels?.[faultPodLabels.serves] === labels[faultPodLabels.serves])
        return true
      if (!isUnclaimed(now)) return false
      pod = now
    }
    return false
  }

  /** The API server lets one claim win: the labels go on with the version of the pod that was looked at. */
  async #tryToTake(
    path: string,
    { pod, labels, signal }: { pod: Pod; labels: Record<string, string>; signal: AbortSignal },
  ): Promise<'ours' | 'not ours' | 'changed'> {
    const { kube, owner } = this.#parts
    const { name, uid, resourceVersion } = pod.metadata
    const owned = { ownerReferences: owner ? [owner] : [] }
    try {
      await kube.mergePatch(
        path,
        { metadata: { uid, resourceVersion, labels, ...owned } },
        { signal },
      )
      return 'ours'
    } catch (error) {
      if (isConflict(error)) return 'changed'
      if (!isRefusal(error)) throw error
      if (!isNotFound(error)) this.#tell(name, error)
      return 'not ours'
    }
  }

  #tell(pod: string, error: unknown): void {
    this.#parts.log.warn(
      { err: error, pod },
      'a warm pod could not be claimed; one is made instead',
    )
  }

  /** After a run: a pod for the next one, unless one is there. Nobody waits for it. */
  leave(node: string, capabilities: readonly string[], signal: AbortSignal): void {
    const { mode, image, log } = this.#parts
    const need = { node, capabilities, image }
    const key = [node, ...capabilities].join(' ')
    if (mode !== 'idle' || this.#making.has(key) || this.#pods.some((pod) => fits(pod, need)))
      return
    this.#making.add(key)
    this.#make(need, signal)
      .catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error, node }, 'a warm pod could not be made')
      })
      .finally(() => this.#making.delete(key))
  }

  async #make({ node, capabilities }: WarmNeed, signal: AbortSignal): Promise<void> {
    const { kube, namespace, image, owner, priorityClassName } = this.#parts
    const { imagePullPolicy, imagePullSecrets } = this.#parts
    const name = `warm-${this.#parts.newSuffix()}`
    const how = { image, imagePullPolicy, imagePullSecrets, owner, priorityClassName }
    const pod = warmPod({ ...how, name, namespace, node, capabilities, idleMs })
    try {
      await kube.create(resourcePath({ ...pods, namespace }), pod, { signal, deadlineMs: writeMs })
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
  }

  /** Takes away what nobody will claim: what has ended, is of another version, or is not wanted any more. */
  async tend(signal: AbortSignal): Promise<void> {
    const { cache } = this.#parts
    await cache.synced(signal)
    const leave = cache.onChange(({ object }) => void this.#sweep(object, signal))
    signal.addEventListener('abort', leave, { once: true })
    await Promise.all(this.#pods.map((pod) => this.#sweep(pod, signal)))
  }

  async #sweep(seen: Pod, signal: AbortSignal): Promise<void> {
    const { kube, cache, namespace, mode, image, log } = this.#parts
    const { name, uid, resourceVersion } = seen.metadata
    const pod = cache.get(`${namespace}/${name}`)
    if (!pod || !isUnclaimed(pod) || isKept(pod)) return
    const isOurs = (pod.spec?.containers ?? []).every((one) => one.image === image)
    if (mode === 'idle' && isOurs && !isTerminal(pod)) return
    const path = resourcePath({ ...pods, namespace, name })
    try {
      // not the one that somebody has claimed meanwhile
      await kube.remove(path, { uid, resourceVersion, signal, deadlineMs: writeMs })
    } catch (error) {
      if (signal.aborted || isNotFound(error) || isConflict(error)) return
      log.warn({ err: error, pod: name }, 'a warm pod that nobody needs could not be removed')
    }
  }
}
