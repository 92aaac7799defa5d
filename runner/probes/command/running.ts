import type { Clock } from '../../../lib/clock.ts'
import type { KubeClient } from '../../../lib/kube/client.ts'
import { KubeError } from '../../../lib/kube/errors.ts'
import { pods, resourcePath } from '../../../lib/kube/paths.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'

type Waiting = { reason?: string; message?: string }
type ContainerStatus = { ready?: boolean; state?: { running?: unknown; waiting?: Waiting } }
type Condition = { type?: string; status?: string; reason?: string; message?: string }

/** The part of a pod that says whether commands can run in it. */
export type ProbePod = KubeObject & {
  status?: {
    phase?: string
    reason?: string
    message?: string
    conditions?: Condition[]
    containerStatuses?: ContainerStatus[]
  }
}

/** What a pod is good for. `hopeless`: it will never run. */
export type PodReading = { state: 'running' } | { state: 'waiting' | 'hopeless'; why: string }

// ErrImagePull is not among them: kubelet tries that again
const hopelessReasons = new Set([
  'InvalidImageName',
  'ErrImageNeverPull',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
])

/** Reads a pod. */
export function readPod(pod: ProbePod): PodReading {
  const { phase, reason, message, conditions, containerStatuses } = pod.status ?? {}
  if (pod.metadata.deletionTimestamp) return { state: 'hopeless', why: 'it is being deleted' }
  if (phase === 'Succeeded' || phase === 'Failed')
    return { state: 'hopeless', why: `it ended (${message || reason || phase})` }
  const state = containerStatuses?.[0]?.state
  if (state?.running) return { state: 'running' }
  const waiting = state?.waiting
  if (waiting?.reason) {
    const why = waiting.message ? `${waiting.reason}: ${waiting.message}` : waiting.reason
    return { state: hopelessReasons.has(waiting.reason) ? 'hopeless' : 'waiting', why }
  }
  const unscheduled = conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'False')
  return { state: 'waiting', why: unscheduled?.message || phase || 'it was just created' }
}

type Watching = { kube: KubeClient; clock: Clock; signal: AbortSignal }

/** Waits until the pod runs; rejects when it never will, with the reason, or when the signal comes. */
export async function untilRunning(
  created: ProbePod,
  { kube, clock, signal }: Watching,
  onReading: (why: string) => void,
): Promise<void> {
  const { name, namespace = '' } = created.metadata
  const place = { ...pods, namespace }
  const check = (pod: ProbePod): boolean => {
    const reading = readPod(pod)
    if (reading.state === 'running') return true
    if (reading.state === 'hopeless') throw new Error(reading.why)
    onReading(reading.why)
    return false
  }
  for (let pod: ProbePod | undefined = created; ; ) {
    if (!pod) throw new Error('it was deleted by somebody')
    if (check(pod)) return
    const { resourceVersion } = pod.metadata
    const query = { fieldSelector: `metadata.name=${name}` }
    try {
      const events = kube.watch<ProbePod>(resourcePath(place), { signal, resourceVersion, query })
      for await (const { type, object } of events) {
        if (type === 'DELETED') throw new Error('it was deleted by somebody')
        if (type !== 'BOOKMARK' && check(object)) return
      }
    } catch (thrown) {
      signal.throwIfAborted()
      if (!(thrown instanceof KubeError)) throw thrown
      onReading(thrown.message)
    }
    // a watch that was closed or refused begins again from how things are
    await clock.sleep(200, signal)
    pod = await kube.find<ProbePod>(resourcePath({ ...place, name }), { signal })
  }
}
