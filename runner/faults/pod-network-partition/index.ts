import * as z from 'zod'
import { BadTunable, defineFault, type Tunables } from '../../../model/fault.ts'
import {
  addressList,
  destination,
  destinationsOf,
  destinationTunables,
  onPackets,
  peerSelector,
  peersOf,
  peerTunables,
  portList,
} from '../../../model/network.ts'
import { textOf } from '../../../model/tunable.ts'

const directions = ['ingress', 'egress'] as const
type Direction = (typeof directions)[number]

const calledPorts = z.object({
  protocol: z.enum(['tcp', 'udp', 'sctp', 'any']).describe('Protocol of the ports.'),
  list: z.array(z.string()).describe('Ports, or ranges such as 8000-8010.'),
})

const params = z.object({
  directions: z
    .array(z.enum(directions))
    .describe('egress: connections that the pod opens; ingress: those that others open to it.'),
  destinations: z.array(destination).describe('With whom; empty, and no peers: with everybody.'),
  peers: peerSelector.nullable().describe('With whom: pods that stand for their addresses.'),
  ports: z.array(calledPorts).describe('Ports of the side that is called; empty: all.'),
})
export type PodNetworkPartitionParams = z.infer<typeof params>

/** Reads `ingress`, `egress`, both of them, or one of the words for both. */
function directionsOf(tunables: Tunables, name: string): Direction[] {
  const words = textOf(tunables, name).toLowerCase().split(',')
  const asked = words.map((word) => word.trim())
  if (asked.every((word) => ['', 'all', 'both'].includes(word))) return [...directions]
  const known = directions.filter((direction) => asked.includes(direction))
  if (new Set(asked).size === known.length) return known
  throw new BadTunable(
    name,
    `${JSON.stringify(textOf(tunables, name))} is no direction`,
    `write ingress, egress or ${name === 'direction' ? 'both' : 'all'}`,
  )
}

const byProtocol = /^(tcp|udp|sctp)\s*:\s*\[([^\]]*)\]$/i

/** Reads `80,443`, or `tcp: [80,443], udp: [53]`. */
function portsOf(tunables: Tunables): PodNetworkPartitionParams['ports'] {
  const text = textOf(tunables, 'PORTS')
  if (text === '') return []
  if (!text.includes(':')) return [{ protocol: 'any', list: portList('PORTS', text) }]
  return text.split(/(?<=\])[\s,]*/).map((part) => {
    const [, protocol, list] = byProtocol.exec(part.trim()) ?? []
    const known = z.enum(['tcp', 'udp', 'sctp']).safeParse(protocol?.toLowerCase())
    if (known.success && list) return { protocol: known.data, list: portList('PORTS', list) }
    throw new BadTunable(
      'PORTS',
      `${JSON.stringify(part)} is not understood`,
      'write "80,443" or "tcp: [80,443], udp: [53]"',
    )
  })
}

/** Connections of a pod are cut, those that exist and new ones. */
export const podNetworkPartition = defineFault({
  id: 'pod-network-partition',
  title: 'Cut the connections of a pod',
  names: { litmus: ['pod-network-partition'], chaosplane: ['network-partition'] },
  ...onPackets,
  params,
  peers: ({ peers }) => peers,
  permissions: [
    ...onPackets.permissions,
    {
      group: '',
      resource: 'pods',
      verbs: ['list'],
      why: 'for POD_SELECTOR and NAMESPACE_SELECTOR only',
    },
    {
      group: '',
      resource: 'namespaces',
      verbs: ['list'],
      why: 'for NAMESPACE_SELECTOR only (needs a ClusterRoleBinding)',
    },
  ],
  tunables: [
    {
      name: 'POLICY_TYPES',
      dialect: 'litmus',
      default: 'all',
      text: 'egress: connections that the pod opens; ingress: those that others open to it; all: both.',
    },
    ...destinationTunables,
    ...peerTunables,
    {
      name: 'PORTS',
      dialect: 'litmus',
      default: '',
      text: 'Only connections to these ports of whoever is called: `80,443`, or by protocol `tcp: [80,443], udp: [53]`.',
    },
    {
      name: 'target_cidr',
      dialect: 'chaosplane',
      default: '',
      text: 'Only connections with these: a comma list of networks or addresses. Needed; 0.0.0.0/0 is everybody.',
      needed: true,
    },
    {
      name: 'direction',
      dialect: 'chaosplane',
      default: 'both',
      text: 'egress: connections that the pod opens; ingress: those that others open to it; both.',
    },
  ],
  fromLitmus: (tunables) => ({
    directions: directionsOf(tunables, 'POLICY_TYPES'),
    destinations: destinationsOf(tunables),
    peers: peersOf(tunables),
    ports: portsOf(tunables),
  }),
  fromChaosplane: (tunables) => {
    const destinations = addressList(tunables, 'target_cidr')
    if (destinations.length > 0)
      return {
        directions: directionsOf(tunables, 'direction'),
        destinations,
        peers: null,
        ports: [],
      }
    throw new BadTunable(
      'target_cidr',
      'it is missing',
      'write for example "10.0.0.0/8", or "0.0.0.0/0, ::/0" for everybody',
    )
  },
})
