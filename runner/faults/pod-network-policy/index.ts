import * as z from 'zod'
import { BadTunable, defineFault, type Tunables } from '../../../model/fault.ts'
import { familyOf, peerSelector, peersOf, peerTunables } from '../../../model/network.ts'
import { textOf } from '../../../model/tunable.ts'

const directions = ['ingress', 'egress'] as const
export const protocols = ['TCP', 'UDP', 'SCTP'] as const

const params = z.object({
  directions: z
    .array(z.enum(directions))
    .min(1)
    .describe('egress: what the pods open; ingress: what others open to them.'),
  networks: z.array(z.string()).describe('With whom: addresses and networks (CIDR).'),
  peers: peerSelector.nullable().describe('With whom: pods that stand for their addresses.'),
  ports: z
    .array(
      z.object({
        protocol: z.enum([...protocols, 'any']).describe('Protocol.'),
        first: z.int().min(1).max(65_535).describe('First port.'),
        last: z.int().min(1).max(65_535).describe('Last port.'),
      }),
    )
    .describe('Ports of the side that is called; empty: all.'),
})
export type PodNetworkPolicyParams = z.infer<typeof params>

function directionsOf(tunables: Tunables, name: string): PodNetworkPolicyParams['directions'] {
  const words = textOf(tunables, name)
    .toLowerCase()
    .split(',')
    .map((word) => word.trim())
  if (words.every((word) => ['', 'all', 'both'].includes(word))) return [...directions]
  const known = directions.filter((direction) => words.includes(direction))
  if (words.every((word) => directions.some((d) => d === word))) return known
  throw new BadTunable(
    name,
    `${JSON.stringify(textOf(tunables, name))} is no direction`,
    'write ingress, egress or all',
  )
}

function networksOf(tunables: Tunables, name: string): string[] {
  const list = textOf(tunables, name)
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
  const bad = list.find((one) => familyOf(one) === null)
  if (bad === undefined) return [...new Set(list)]
  throw new BadTunable(
    name,
    `${JSON.stringify(bad)} is not an address or network`,
    'write for example 10.0.0.7 or 10.0.0.0/8; names and ports are understood by pod-network-partition',
  )
}

function rangeOf(text: string): { first: number; last: number } {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? []
  const range = { first: Number(first), last: Number(last) }
  if (first !== '' && range.first >= 1 && range.last <= 65_535 && range.first <= range.last)
    return range
  throw new BadTunable(
    'PORTS',
    `${JSON.stringify(text)} is not a port`,
    'write "80,443", "8000-8010" or "tcp: [80,443], udp: [53]"',
  )
}

const byProtocol = /(?:(tcp|udp|sctp)\s*:\s*)?\[([^\]]*)\]/gi

/** Reads `80,443`, or `tcp: [80,443], udp: [53]`. */
function portsOf(tunables: Tunables): PodNetworkPolicyParams['ports'] {
  const text = textOf(tunables, 'PORTS')
  const listed = (list: string, protocol: (typeof protocols)[number] | 'any') =>
    list
      .split(',')
      .map((one) => one.trim())
      .filter((one) => one !== '')
      .map((one) => ({ protocol, ...rangeOf(one) }))
  if (!text.includes('[')) return listed(text, 'any')
  const rest = text.replace(byProtocol, '').replace(/[\s,]/g, '')
  if (rest !== '') rangeOf(rest)
  return [...text.matchAll(byProtocol)].flatMap(([, name = 'any', list = '']) =>
    listed(list, protocols.find((p) => p === name.toUpperCase()) ?? 'any'),
  )
}

/** Connections of pods are forbidden by a NetworkPolicy; a CNI that enforces policies cuts them. */
export const podNetworkPolicy = defineFault({
  id: 'pod-network-policy',
  title: 'Cut the connections of pods by a NetworkPolicy',
  names: { litmus: ['pod-network-policy'], chaosplane: ['pod-network-policy'] },
  hands: 'kube',
  lasts: 'while-held',
  targets: 'pods',
  defaults: { durationMs: 60_000 },
  params,
  tunables: [
    {
      name: 'POLICY_TYPES',
      dialect: 'litmus',
      default: 'all',
      text: 'egress: connections that the pods open; ingress: those that others open to them; all: both.',
    },
    {
      name: 'DESTINATION_IPS',
      dialect: 'litmus',
      default: '',
      text: 'Only with these: a comma list of addresses or networks.',
    },
    ...peerTunables,
    {
      name: 'PORTS',
      dialect: 'litmus',
      default: '',
      text: 'Only to these ports of whoever is called: `80,443`, or by protocol `tcp: [80,443], udp: [53]`.',
    },
    {
      name: 'target_cidr',
      dialect: 'chaosplane',
      default: '',
      text: 'Only with these: a comma list of networks or addresses; not set: with everybody.',
    },
    {
      name: 'direction',
      dialect: 'chaosplane',
      default: 'both',
      text: 'egress: connections that the pods open; ingress: those that others open to them; both.',
    },
  ],
  fromLitmus: (tunables) => ({
    directions: directionsOf(tunables, 'POLICY_TYPES'),
    networks: networksOf(tunables, 'DESTINATION_IPS'),
    peers: peersOf(tunables),
    ports: portsOf(tunables),
  }),
  fromChaosplane: (tunables) => ({
    directions: directionsOf(tunables, 'direction'),
    networks: networksOf(tunables, 'target_cidr'),
    peers: null,
    ports: [],
  }),
  permissions: [
    {
      group: 'networking.k8s.io',
      resource: 'networkpolicies',
      verbs: ['create', 'list'],
      why: 'forbids the connections; sees which policies are there',
    },
    {
      group: '',
      resource: 'pods',
      verbs: ['get', 'list'],
      why: 'sees whom the policy would select; finds pods by POD_SELECTOR',
    },
    {
      group: '',
      resource: 'namespaces',
      verbs: ['list'],
      why: 'for NAMESPACE_SELECTOR only (needs a ClusterRoleBinding)',
    },
  ],
  restores: [
    {
      group: 'networking.k8s.io',
      resource: 'networkpolicies',
      verbs: ['get', 'delete'],
      why: 'takes the policies of a fault away again',
    },
  ],
  capabilities: [],
  errorWhenNoEffect: 'EFFECT_NOT_SEEN',
  onlyStatic:
    'a NetworkPolicy selects by labels: pods of the workload that come while it stands are cut as well, not one by one',
})
