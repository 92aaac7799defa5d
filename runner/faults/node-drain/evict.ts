import PQueue from 'p-queue'
import type { KubeClient } from '../../../lib/kube/client.ts'
import { isConflict, isNotFound, KubeError } from '../../../lib/kube/errors.ts'
import { pods, resourcePath } from '../../../lib/kube/paths.ts'
import { type DrainedPod, podName } from './pods.ts'

export type EvictIo = { kube: KubeClient; as: string; signal: AbortSignal }

/** Evictions that are under way at the same time. */
const atOnce = 10
/** One eviction; admission webhooks may take their time, milliseconds. */
const evictMs = 10_000

/**
 * Asks for the eviction of one pod, and of no namesake. Null when it is accepted or the pod is gone, else what stands
 * in the way (a PodDisruptionBudget, mostly). Throws what asking again does not mend.
 */
async function evict(pod: DrainedPod, io: EvictIo, dryRun = false): Promise<string | null> {
  const { namespace = '', name, uid } = pod.metadata
  const path = resourcePath({ ...pods, namespace, name, subresource: 'eviction' })
  const body = {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { namespace, name },
    deleteOptions: { preconditions: { uid }, ...(dryRun ? { dryRun: ['All'] } : {}) },
  }
  try {
    // Once: a budget that is used up is answered with «too many requests», and asking again is our business.
    // An eviction that is under way when the signal comes is waited for: its outcome must be known.
    const signal = AbortSignal.timeout(evictMs)
    await io.kube.create(path, body, { as: io.as, signal, once: true })
    return null
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return null
    if (error instanceof KubeError && mayPass(error)) return `${podName(pod)}: ${reasonOf(error)}`
    throw error
  }
}

const mayPass = ({ status }: KubeError): boolean => status === 429 || status >= 500 || status === 0

function reasonOf({ status, message, details }: KubeError): string {
  const causes = (details?.causes ?? []).map((c) => c.message ?? '').filter((m) => m !== '')
  if (status === 429 && causes.length > 0) return causes.join('; ')
  return message.replace(/^POST \S+: /, '')
}

/**
 * Asks for all of them; what stands in the way, one text each. After a refusal for good none is begun, and it is thrown
 * when those under way have ended: the node is put back then, and nobody may be evicted from it any more.
 */
export async function evictAll(going: readonly DrainedPod[], io: EvictIo): Promise<string[]> {
  const pool = new PQueue({ concurrency: atOnce })
  const refusals: unknown[] = []
  const one = async (pod: DrainedPod): Promise<string | null> => {
    if (io.signal.aborted || refusals.length > 0) return null
    return await evict(pod, io).catch((error: unknown) => {
      refusals.push(error)
      return null
    })
  }
  const answers = await pool.addAll(going.map((pod) => () => one(pod)))
  if (refusals.length > 0) throw refusals[0]
  return answers.filter((answer) => answer !== null)
}

/** Whether the account may evict them: one dry run in each namespace. Throws the refusal. */
export async function mayEvict(going: readonly DrainedPod[], io: EvictIo): Promise<void> {
  const one = new Map(going.map((pod) => [pod.metadata.namespace, pod]))
  await Promise.all([...one.values()].map((pod) => evict(pod, io, true)))
}
