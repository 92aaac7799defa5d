import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { deployments, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'

/** The part of a Deployment that says whether it is complete. */
export type DeploymentSeen = KubeObject & {
  spec: { replicas?: number }
  status?: {
    observedGeneration?: number
    replicas?: number
    updatedReplicas?: number
    availableReplicas?: number
  }
}
/** The part of a Pod that says why it is not ready. */
export type PodSeen = KubeObject & {
  spec: { nodeName?: string }
  status?: {
    phase?: string
    conditions?: { type: string; status: string; message?: string }[]
    containerStatuses?: {
      name: string
      ready: boolean
      state?: { waiting?: { reason?: string; message?: string } }
      lastState?: { terminated?: { exitCode?: number; reason?: string } }
    }[]
  }
}

/** `2/2` style count and whether nothing old or unready is left. */
export function availability(of: DeploymentSeen): { complete: boolean; text: string } {
  const wanted = of.spec.replicas ?? 1
  const {
    observedGeneration = 0,
    replicas = 0,
    updatedReplicas = 0,
    availableReplicas = 0,
  } = of.status ?? {}
  const complete =
    observedGeneration >= (of.metadata.generation ?? 0) &&
    availableReplicas === wanted &&
    updatedReplicas === wanted &&
    replicas === wanted
  return { complete, text: `${of.metadata.name} ${availableReplicas}/${wanted}` }
}

/** Why a pod is not ready, in the words of the cluster; empty when it is. */
export function whyNotReady(pod: PodSeen): string {
  for (const container of pod.status?.containerStatuses ?? []) {
    if (container.ready) continue
    const { reason, message } = container.state?.waiting ?? {}
    const ended = container.lastState?.terminated
    const before = ended ? `, ended before with code ${ended.exitCode ?? '?'}` : ''
    if (reason) return `${reason}${message ? ` (${message})` : ''}${before}`
    return `not ready yet${before}`
  }
  const condition = pod.status?.conditions?.find((c) => c.status === 'False' && c.message)
  return condition?.message ?? ''
}

/** Where to wait and how long. */
export type RolloutWait = {
  client: KubeClient
  namespace: string
  /** null: every Deployment of the namespace */
  names: readonly string[] | null
  clock: Clock
  signal: AbortSignal
  deadlineMs: number
  say(note: string): void
}

const pollMs = 300

/** Waits until Deployments are complete; a failure names the pods that are not and why. */
export async function untilAvailable(wait: RolloutWait): Promise<void> {
  const { client, namespace, names, clock, signal, say } = wait
  const until = clock.now() + wait.deadlineMs
  for (;;) {
    const found = await client.list<DeploymentSeen>(resourcePath({ ...deployments, namespace }), {
      signal,
    })
    const watched = found.items.filter((d) => names === null || names.includes(d.metadata.name))
    const seen = watched.map(availability)
    say(seen.map((s) => s.text).join(', '))
    const isWhole = names === null ? watched.length > 0 : watched.length === names.length
    if (isWhole && seen.every((s) => s.complete)) return
    if (clock.now() > until) throw new Error(await tooLate(wait, seen))
    await clock.sleep(pollMs, signal)
  }
}

async function tooLate(
  { client, namespace, signal, deadlineMs }: RolloutWait,
  seen: { complete: boolean; text: string }[],
): Promise<string> {
  const { items } = await client.list<PodSeen>(resourcePath({ ...pods, namespace }), { signal })
  const reasons = items.flatMap((pod) => {
    const why = whyNotReady(pod)
    return why ? [`pod ${pod.metadata.name}: ${why}`] : []
  })
  const open = seen.filter((s) => !s.complete).map((s) => s.text)
  const what = open.length > 0 ? open.join(', ') : 'no Deployment'
  return `namespace ${namespace}: ${what} available after ${deadlineMs / 1000} s. ${
    reasons.join('; ') || 'No pod says why.'
  } Look with: kubectl -n ${namespace} describe pods`
}
