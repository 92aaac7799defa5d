import type { KubeClient } from '../../lib/kube/client.ts'
import { namespaces, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { ChaosError } from '../../model/errors.ts'
import type { PeerSelector } from '../../model/fault.ts'
import { isTerminal } from '../../model/pod-life.ts'

type Pod = KubeObject & {
  spec?: { hostNetwork?: boolean }
  status?: { phase?: string; podIPs?: { ip: string }[] }
}
type Io = { kube: KubeClient; as: string; signal: AbortSignal }

/** So many addresses fit into one policy, and into the order of a fault pod. */
const maxAddresses = 500

const refuse = (reason: string): ChaosError =>
  new ChaosError({ code: 'CHAOS_INJECT_ERROR', reason })

/**
 * The addresses that pods have now, for a target in this namespace. Not those of pods that use the network of their
 * node, nor of pods that have ended: others may have their address by now. Throws ChaosError when there are none.
 */
export async function podAddresses(
  peers: PeerSelector,
  namespace: string,
  io: Io,
): Promise<string[]> {
  const call = { as: io.as, signal: io.signal }
  const where = peers.namespaces === '' ? [namespace] : await namespacesWith(peers.namespaces, io)
  const query = peers.pods === '' ? {} : { labelSelector: peers.pods }
  const lists = await Promise.all(
    where.map((one) =>
      io.kube.list<Pod>(resourcePath({ ...pods, namespace: one }), { ...call, query }),
    ),
  )
  const found = lists
    .flatMap(({ items }) => items)
    .filter((pod) => !pod.spec?.hostNetwork && !isTerminal(pod))
    .flatMap(({ status }) => (status?.podIPs ?? []).map(({ ip }) => ip))
  const addresses = [...new Set(found)]
  if (addresses.length === 0)
    throw refuse('POD_SELECTOR and NAMESPACE_SELECTOR match no pod with an address')
  if (addresses.length > maxAddresses)
    throw refuse(
      `POD_SELECTOR and NAMESPACE_SELECTOR match ${addresses.length} addresses, at most ${maxAddresses} can be named; name their network in DESTINATION_IPS`,
    )
  return addresses
}

async function namespacesWith(labels: string, { kube, as, signal }: Io): Promise<string[]> {
  const query = { labelSelector: labels }
  const { items } = await kube.list<KubeObject>(resourcePath(namespaces), { as, signal, query })
  return items.map(({ metadata }) => metadata.name)
}
