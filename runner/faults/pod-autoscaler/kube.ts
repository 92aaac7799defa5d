import type { KubeClient } from '../../../lib/kube/client.ts'
import { isConflict, isNotFound } from '../../../lib/kube/errors.ts'
import {
  deployments,
  horizontalPodAutoscalers,
  type ResourceKind,
  resourcePath,
  statefulSets,
} from '../../../lib/kube/paths.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import { ChaosError } from '../../../model/errors.ts'
import { defineHeldFault, type KubeTarget, type OwnIo, type Seen, writeMs } from '../kube-fault.ts'
import type { PodAutoscalerParams } from './index.ts'

type Undo = { before: number; wanted: number }

type Scale = KubeObject & { spec?: { replicas?: number } }
type Workload = KubeObject & {
  spec?: { replicas?: number }
  status?: {
    replicas?: number
    readyReplicas?: number
    conditions?: { type: string; status: string; message?: string }[]
  }
}
type Autoscaler = KubeObject & { spec?: { scaleTargetRef?: { kind?: string; name?: string } } }
type Io = OwnIo & { as?: string }

const kinds: Record<string, ResourceKind> = { Deployment: deployments, StatefulSet: statefulSets }
const kindOf = ({ kind }: KubeTarget): ResourceKind => {
  const known = kinds[kind]
  if (!known) throw new Error(`a ${kind} cannot be scaled`)
  return known
}
const pathOf = (target: KubeTarget, subresource?: string): string =>
  resourcePath({
    ...kindOf(target),
    namespace: target.namespace,
    name: target.name,
    ...(subresource ? { subresource } : {}),
  })
const who = ({ as }: Io) => (as === undefined ? {} : { as })

/** The workload itself, not a namesake that was made since. */
async function find<T extends KubeObject>(
  target: KubeTarget,
  io: Io,
  subresource?: string,
): Promise<T | undefined> {
  const path = pathOf(target, subresource)
  const found = await io.kube.find<T>(path, { signal: io.signal, ...who(io) })
  return found?.metadata.uid === target.uid ? found : undefined
}

const replicasOf = ({ spec }: Scale): number => spec?.replicas ?? 0

type Change = { to: number; dryRun?: true }

/** Writes onto what was read only; false: somebody else wrote meanwhile. */
async function setReplicas(scale: Scale, target: KubeTarget, { to, dryRun, ...io }: Change & Io) {
  const { resourceVersion } = scale.metadata
  try {
    await io.kube.mergePatch(
      pathOf(target, 'scale'),
      { metadata: { resourceVersion }, spec: { replicas: to } },
      {
        signal: AbortSignal.timeout(writeMs),
        ...who(io),
        ...(dryRun ? { query: { dryRun: 'All' } } : {}),
      },
    )
    return true
  } catch (error) {
    if (isNotFound(error)) return true
    if (!isConflict(error)) throw error
    io.signal.throwIfAborted()
    return false
  }
}

/** An autoscaler would set the number back within seconds, and learn from a load that is not real. */
async function refuseAutoscaled(target: KubeTarget, kube: KubeClient, signal: AbortSignal) {
  const path = resourcePath({ ...horizontalPodAutoscalers, namespace: target.namespace })
  const { items } = await kube.list<Autoscaler>(path, { signal })
  const one = items.find(({ spec }) => {
    const ref = spec?.scaleTargetRef
    return ref?.kind === target.kind && ref.name === target.name
  })
  if (one)
    throw new ChaosError({
      code: 'CHAOS_INJECT_ERROR',
      reason: `HorizontalPodAutoscaler ${one.metadata.name} scales ${target.id}, and would undo this; take it away, or choose another target`,
    })
}

/** Scales workloads through the API. */
export const podAutoscaler = defineHeldFault<PodAutoscalerParams, Undo>({
  lasts: 'while-held',
  id: 'pod-autoscaler',
  slots: () => ['replicas'],
  async plan(target, { params }, io) {
    const scale = await find<Scale>(target, io, 'scale')
    if (!scale)
      throw new ChaosError({
        code: 'TARGET_SELECTION_ERROR',
        reason: `${target.id} is gone; select a workload that is there`,
      })
    const before = replicasOf(scale)
    if (before === params.replicas)
      throw new ChaosError({
        code: 'CHAOS_INJECT_ERROR',
        reason: `${target.id} has ${before} replicas already, so nothing would change; choose another REPLICA_COUNT`,
      })
    await refuseAutoscaled(target, io.kube, io.signal)
    await setReplicas(scale, target, { ...io, to: params.replicas, dryRun: true })
    return { before, wanted: params.replicas }
  },
  async inject(target, { before, wanted }, io) {
    for (;;) {
      const scale = await find<Scale>(target, io, 'scale')
      if (!scale) throw new Error(`${target.id} is gone`)
      if (replicasOf(scale) === wanted) return
      if (replicasOf(scale) !== before)
        throw new Error(`somebody else scaled ${target.id} to ${replicasOf(scale)} meanwhile`)
      if (await setReplicas(scale, target, { ...io, to: wanted })) return
    }
  },
  async verify(target, { before, wanted }, io) {
    const workload = await find<Workload>(target, io)
    if (!workload) return { missing: `${target.id} is gone`, gone: true }
    return seenOf(workload, { before, wanted })
  },
  async holds(target, { wanted }, io) {
    const workload = await find<Workload>(target, io)
    return workload?.spec?.replicas === wanted
  },
  injectMs: ({ timeoutMs }) => timeoutMs,
  async revert(target, { before, wanted }, io) {
    for (;;) {
      const scale = await find<Scale>(target, io, 'scale')
      if (!scale || replicasOf(scale) !== wanted) return
      if (await setReplicas(scale, target, { ...io, to: before })) return
    }
  },
  async proof(target, { before, wanted }, io) {
    const scale = await find<Scale>(target, io, 'scale')
    if (!scale) return { outcome: 'noLongerExists', proof: `${target.id} no longer exists` }
    const now = replicasOf(scale)
    if (now === before)
      return { outcome: 'restored', proof: `${target.id} is to have ${before} replicas, as before` }
    if (now === wanted)
      return {
        left: `${target.id} is still to have ${wanted} replicas`,
        remaining: [byHand(target, before)],
      }
    return {
      outcome: 'changedElsewhere',
      proof: `${target.id}: somebody else scaled it to ${now} meanwhile, and that was left alone`,
    }
  },
})

/** All that were asked for are there and ready, and no others: pods that find no room or quota are no effect. */
export function seenOf({ spec, status }: Workload, { before, wanted }: Undo): Seen {
  const { replicas = 0, readyReplicas = 0, conditions = [] } = status ?? {}
  if (spec?.replicas === wanted && replicas === wanted && readyReplicas === wanted)
    return {
      evidence: `${readyReplicas} of ${wanted} replicas are ready; ${before} were asked for before`,
    }
  const why = conditions.find((c) => c.type === 'ReplicaFailure' && c.status === 'True')?.message
  return {
    missing: `${replicas} replicas are there and ${readyReplicas} are ready, ${wanted} are wanted${why ? `: ${why}` : ''}`,
  }
}

const byHand = ({ kind, namespace, name }: KubeTarget, before: number): string =>
  `kubectl -n ${namespace} scale ${kind.toLowerCase()} ${name} --replicas=${before}`
