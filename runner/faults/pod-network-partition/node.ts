import type { PeerSelector } from '../../../model/fault.ts'
import type { Destination as Named } from '../../../model/network.ts'
import { asking, type NetworkPlan, nameFor, networkActs } from '../../fault-pod/network/acts.ts'
import {
  type Cut,
  cutTable,
  type Direction,
  type Hooks,
  listeningPorts,
} from '../../fault-pod/network/cut.ts'
import { type Inside, noMeans } from '../../fault-pod/network/means.ts'
import {
  destinationsOf,
  familyOf,
  interfacesOf,
  nodeAddresses,
  podNetwork,
} from '../../fault-pod/network/namespace.ts'
import { egressTrouble, tableTrouble } from '../../fault-pod/network/ruleset.ts'
import { defineNodeFault, type FoundTarget, type NodeLook, NodeTrouble } from '../node-fault.ts'

type Params = {
  directions: Direction[]
  destinations: Named[]
  peers: PeerSelector | null
  /** of the peers, by the namespace of the target */
  addresses?: Record<string, string[]>
  ports: Cut['ports']
}

const trialCut: Cut = {
  directions: ['egress'],
  destinations: [{ family: 4, address: '192.0.2.1', ports: [] }],
  ports: [],
  spared: [],
  servers: [],
  outgoing: '32768-60999',
}

/** At the devices where the kernel can, where the sender of a cut packet hears nothing of it. */
function hooksOf(devices: readonly string[], look: NodeLook): Hooks {
  const egress = egressTrouble(look)
  if (egress === null) return { family: 'netdev', devices }
  const within = tableTrouble(cutTable('chaosplane_trial', { family: 'inet' }, trialCut), look)
  if (within === null) return { family: 'inet' }
  throw noMeans(
    look,
    `This node cannot cut connections: ${egress}; or nf_tables for the family inet, but ${within}.`,
  )
}

const words = ({ family }: Hooks): string =>
  family === 'netdev' ? 'nftables, ingress and egress hooks' : 'nftables, family inet'

const devicesOf = (target: FoundTarget, look: NodeLook): string[] =>
  interfacesOf(target, look).filter((name) => name !== 'lo' && !name.startsWith('chaos'))

/** The TCP ports on which anybody in the pod listens. */
const serversOf = ({ pid }: FoundTarget, look: NodeLook): string[] => [
  ...new Set(
    ['tcp', 'tcp6'].flatMap((name) => listeningPorts(look.read(`/proc/${pid}/net/${name}`) ?? '')),
  ),
]

function outgoingPorts(ask: Inside): string {
  const { stdout } = ask(['cat', '/proc/sys/net/ipv4/ip_local_port_range'])
  const [low, high] = stdout.trim().split(/\s+/)
  return low && high ? `${low}-${high}` : trialCut.outgoing
}

const named = ({ directions, destinations, ports }: Cut): string => {
  const which = {
    ingress: 'connections that others open to the pod',
    egress: 'connections that the pod opens',
  }
  const opened = directions.length === 2 ? 'all connections' : which[directions[0] ?? 'egress']
  const to = destinations.map(({ address }) => address)
  const some =
    to.length > 3 ? `${to.slice(0, 3).join(', ')} and ${to.length - 3} more` : to.join(', ')
  const on = ports.map(
    ({ protocol, list }) => `${protocol === 'any' ? '' : `${protocol} `}${list.join(', ')}`,
  )
  return [
    opened,
    ...(to.length > 0 ? [`with ${some}`] : []),
    ...(on.length > 0 ? [`on port ${on.join(', ')}`] : []),
  ].join(' ')
}

/** The pods that are named by labels. None at all must not be taken for everybody. */
function peersOf({ peers, addresses }: Params, target: FoundTarget): Cut['destinations'] {
  if (peers === null) return []
  const found = addresses?.[target.id.split('/')[0] ?? ''] ?? []
  if (found.length > 0)
    return found.map((address) => ({ address, ports: [], family: familyOf(address) ?? 4 }))
  throw new NodeTrouble(
    'CHAOS_INJECT_ERROR',
    `The addresses of the pods that POD_SELECTOR and NAMESPACE_SELECTOR name could not be found out for ${target.id}.`,
  )
}

/** The node part of pod-network-partition: one table of nftables in the network of the pod. */
export const podNetworkPartitionNode = defineNodeFault<Params, NetworkPlan>({
  id: 'pod-network-partition',
  ...networkActs,

  params: (raw) => {
    const { directions, destinations, peers = null, addresses = {}, ports } = raw as Params
    if (directions?.length > 0 && Array.isArray(destinations) && Array.isArray(ports))
      return { directions, destinations, peers, addresses, ports }
    throw new NodeTrouble(
      'INVALID_SPEC',
      'pod-network-partition: directions, destinations and ports are needed.',
    )
  },

  facility(target, look) {
    podNetwork(target, look)
    return words(hooksOf(['lo'], look))
  },

  plan(target, { params }, look) {
    const network = podNetwork(target, look)
    const ask = asking(network.pid, look)
    const destinations = [...destinationsOf(params, target, look), ...peersOf(params, target)]
    const spared = nodeAddresses(ask, look).filter(
      ({ address }) => !destinations.some((destination) => destination.address === address),
    )
    const outgoing = outgoingPorts(ask)
    const { directions, ports } = params
    const cut = {
      directions,
      ports,
      destinations,
      spared,
      servers: serversOf(target, look),
      outgoing,
    }
    const hooks = hooksOf(devicesOf(target, look), look)
    const table = nameFor(target)
    const kept = spared.map(({ address }) => address).join(', ')
    return {
      network,
      what: `${named(cut)} are cut${kept ? `, those with its node (${kept}) are not` : ''}`,
      by: { means: 'nft', family: hooks.family, table, ruleset: cutTable(table, hooks, cut) },
    }
  },
})
