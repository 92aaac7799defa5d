import { isAlreadyExists } from '../../../lib/kube/errors.ts'
import { networkPolicies, pods, resourcePath } from '../../../lib/kube/paths.ts'
import { removeExactly } from '../../../lib/kube/remove.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import { ChaosError } from '../../../model/errors.ts'
import {
  type Asked,
  defineHeldFault,
  type KubeFaultIo,
  type KubeTarget,
  type OwnIo,
  writeMs,
} from '../kube-fault.ts'
import { podAddresses } from '../peers.ts'
import type { PodNetworkPolicyParams } from './index.ts'
import { governs, type PolicySpec, policySpec, saysTheSame } from './policy.ts'

/** The object that is made, and by which label it is known as ours. `pods`: whom it selects. */
type Undo = { name: string; mark: string; spec: PolicySpec; pods: string[] }

type Pod = KubeObject & { spec?: { hostNetwork?: boolean } }
type Policy = KubeObject & { spec?: PolicySpec }

const markLabel = 'chaos.chaosplane.io/mark'

const refuse = (target: KubeTarget, reason: string): ChaosError =>
  new ChaosError({ code: 'CHAOS_INJECT_ERROR', target: target.id, reason })

const pathOf = ({ namespace }: KubeTarget, name?: string): string =>
  resourcePath({ ...networkPolicies, namespace, ...(name ? { name } : {}) })

async function podOf(target: KubeTarget, io: OwnIo & { as?: string }): Promise<Pod | undefined> {
  const { namespace, name } = target
  const who = io.as === undefined ? {} : { as: io.as }
  const path = resourcePath({ ...pods, namespace, name })
  const pod = await io.kube.find<Pod>(path, { signal: io.signal, ...who })
  return pod?.metadata.uid === target.uid ? pod : undefined
}

const named = (target: KubeTarget, { name }: Undo, io: OwnIo): Promise<Policy | undefined> =>
  io.kube.find<Policy>(pathOf(target, name), { signal: io.signal })

/** By its label; where somebody has taken that off, by what it says under a name that nobody else gives. */
const isOurs = ({ metadata, spec }: Policy, undo: Undo): boolean =>
  metadata.labels?.[markLabel] === undo.mark || saysTheSame(spec ?? {}, undo.spec)

async function ours(target: KubeTarget, undo: Undo, io: OwnIo): Promise<Policy | undefined> {
  const found = await named(target, undo, io)
  return found && isOurs(found, undo) ? found : undefined
}

/** Whom the labels select, all of which must be targets: a policy that reaches further is not made. */
async function selected(
  target: KubeTarget,
  { labels, among }: { labels: Record<string, string>; among: readonly KubeTarget[] },
  io: KubeFaultIo,
): Promise<string[]> {
  const entries = Object.entries(labels)
  if (entries.length === 0)
    throw refuse(target, `pod ${target.name} has no label by which a policy could select it`)
  const query = { labelSelector: entries.map(([key, value]) => `${key}=${value}`).join(',') }
  const path = resourcePath({ ...pods, namespace: target.namespace })
  const { items } = await io.kube.list<Pod>(path, { as: io.as, signal: io.signal, query })
  const uids = new Set(among.map(({ uid }) => uid))
  const others = items.filter(({ metadata }) => !uids.has(metadata.uid))
  if (others.length > 0)
    throw refuse(
      target,
      `a NetworkPolicy selects by labels, and those of ${target.name} are also on ${others
        .slice(0, 3)
        .map(({ metadata }) => metadata.name)
        .join(
          ', ',
        )}, which are no targets; hit all of them (POD_AFFECTED_PERCENTAGE 100), or use pod-network-partition`,
    )
  return items.map(({ metadata }) => metadata.name)
}

/** Labels of a pod, and the policy that is to select it. */
type Governed = {
  labels: Record<string, string>
  planned: PolicySpec
  params: PodNetworkPolicyParams
}

/** What another policy allows stays allowed whatever ours says. */
async function refuseGoverned(
  target: KubeTarget,
  { labels, planned, params }: Governed,
  io: KubeFaultIo,
): Promise<void> {
  const { items } = await io.kube.list<Policy>(pathOf(target), { as: io.as, signal: io.signal })
  // That of another pod of the workload, which still stands in a quick pause, is no obstacle. Beside one of somebody
  // else that says the same, ours would change nothing and be told as an effect.
  const isSibling = ({ metadata, spec }: Policy): boolean =>
    metadata.labels?.[markLabel] !== undefined && saysTheSame(spec ?? {}, planned)
  const one = items.find(
    (policy) => !isSibling(policy) && governs(policy.spec ?? {}, labels, params.directions),
  )
  if (one)
    throw refuse(
      target,
      `NetworkPolicy ${one.metadata.name} selects ${target.id} as well, and what it allows cannot be forbidden by another one; use pod-network-partition`,
    )
}

/** With whom connections are cut, as networks; null: with everybody. Pods stand for their addresses of now. */
async function peersOf(
  target: KubeTarget,
  { networks, peers }: PodNetworkPolicyParams,
  io: KubeFaultIo,
): Promise<string[] | null> {
  if (peers === null) return networks.length === 0 ? null : networks
  const addresses = await podAddresses(peers, target.namespace, io)
  return [...new Set([...networks, ...addresses])]
}

const bodyOf = ({ name, mark, spec }: Undo): object => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, labels: { [markLabel]: mark } },
  spec,
})

/** Forbids connections through the API. */
export const podNetworkPolicy = defineHeldFault<PodNetworkPolicyParams, Undo>({
  lasts: 'while-held',
  id: 'pod-network-policy',
  slots: () => ['policy'],
  async plan(target, { params, mark, among }: Asked<PodNetworkPolicyParams>, io) {
    const pod = await podOf(target, io)
    if (!pod)
      throw new ChaosError({
        code: 'TARGET_SELECTION_ERROR',
        reason: `pod ${target.id} is gone; select one that is there`,
      })
    if (pod.spec?.hostNetwork)
      throw refuse(target, `pod ${target.id} uses the network of its node, where no policy applies`)
    const labels = pod.metadata.labels ?? {}
    const names = await selected(target, { labels, among }, io)
    const networks = await peersOf(target, params, io)
    const spec = policySpec(labels, params, networks)
    await refuseGoverned(target, { labels, planned: spec, params }, io)
    const undo = { name: `chaosplane-${mark}`, mark, spec, pods: names.slice(0, 20) }
    const dryRun = { as: io.as, signal: io.signal, query: { dryRun: 'All' } }
    await io.kube.create(pathOf(target), bodyOf(undo), dryRun)
    return undo
  },
  async inject(target, undo, io) {
    try {
      const signal = AbortSignal.timeout(writeMs)
      await io.kube.create(pathOf(target), bodyOf(undo), { as: io.as, signal })
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
      if (!(await ours(target, undo, io)))
        throw refuse(target, `there is a NetworkPolicy ${undo.name} that is not ours`)
    }
  },
  async verify(target, undo, io) {
    if (!(await ours(target, undo, io)))
      return { missing: `there is no NetworkPolicy ${undo.name} of ours` }
    const types = (undo.spec.policyTypes ?? []).join(' and ')
    return {
      evidence: `NetworkPolicy ${undo.name} (${types}) selects ${undo.pods.join(', ')}; whether packets are dropped is up to the CNI and was not looked at`,
    }
  },
  // Every edit of the spec counts up; a policy that somebody has edited is no longer what was asked for.
  async holds(target, undo, io) {
    const policy = await ours(target, undo, io)
    return policy !== undefined && (policy.metadata.generation ?? 1) === 1
  },
  injectMs: () => 60_000,
  async revert(target, undo, io) {
    const policy = await ours(target, undo, io)
    if (!policy) return
    const { uid } = policy.metadata
    await removeExactly(io.kube, pathOf(target, undo.name), { uid, signal: io.signal })
  },
  async proof(target, undo, io) {
    const found = await named(target, undo, io)
    if (found && isOurs(found, undo))
      return {
        left: `NetworkPolicy ${undo.name} is still in namespace ${target.namespace}`,
        remaining: [`kubectl -n ${target.namespace} delete networkpolicy ${undo.name}`],
      }
    if (found)
      return {
        outcome: 'changedElsewhere',
        proof: `NetworkPolicy ${undo.name} is no longer what was made: somebody else has made it their own, and it was left alone`,
      }
    if (!(await podOf(target, io)))
      return {
        outcome: 'noLongerExists',
        proof: `there is no NetworkPolicy ${undo.name} any more, nor pod ${target.id}`,
      }
    return { outcome: 'restored', proof: `there is no NetworkPolicy ${undo.name} any more` }
  },
})
