import * as z from 'zod'
import { BadTunable, inContainers, type PeerSelector, type Tunables } from './fault.ts'
import { BadSelector, parseSelector } from './label-selector.ts'
import { textOf } from './tunable.ts'

const port = z.string().regex(/^\d{1,5}(-\d{1,5})?$/)
const ports = z.object({
  list: z.array(port).describe('Ports, or ranges such as 8000-8010.'),
  except: z.boolean().describe('true: these are spared; false: these are hit.'),
})
/** Where packets go to. */
export const destination = z.object({
  host: z.string().describe('Name, address or network (CIDR).'),
  ports: z.array(port).describe('Its ports; empty: all.'),
})

/** Pods that stand for their addresses. */
export const peerSelector = z.object({
  pods: z.string().describe('Pods with these labels; empty: any.'),
  namespaces: z
    .string()
    .describe("In namespaces with these labels; empty: in the target's own namespace."),
})

/** Which packets a network fault is aimed at. Nothing said: all that leave through the interface. */
export const networkFilter = z.object({
  interface: z.string().describe('Interface of the pod, as it is called inside.'),
  destinations: z.array(destination).describe('Where the packets go.'),
  sourcePorts: ports.describe('Ports of the pod that they come from.'),
  destinationPorts: ports.describe('Ports that they go to.'),
})
export type NetworkFilter = z.infer<typeof networkFilter>
export type Destination = z.infer<typeof destination>
export type Ports = z.infer<typeof ports>

/** The tunables that say where packets go to, for the catalogue. */
export const destinationTunables = [
  {
    name: 'DESTINATION_IPS',
    dialect: 'litmus',
    default: '',
    text: 'Only these: a comma list of addresses or networks, each with ports if need be (`10.0.0.7|8080|9090`).',
  },
  {
    name: 'DESTINATION_HOSTS',
    dialect: 'litmus',
    default: '',
    text: 'Only these names, looked up when the fault begins; ports as above.',
  },
] as const

/** The tunables that name pods by labels, for the catalogue. */
export const peerTunables = [
  {
    name: 'POD_SELECTOR',
    dialect: 'litmus',
    default: '',
    text: "Only the addresses that pods with these labels have when the fault begins, in the target's namespace or by NAMESPACE_SELECTOR.",
  },
  {
    name: 'NAMESPACE_SELECTOR',
    dialect: 'litmus',
    default: '',
    text: 'Only pods in namespaces with these labels; with POD_SELECTOR both must match.',
  },
] as const

/** The tunables that describe a filter, for the catalogue. */
export const filterTunables = [
  {
    name: 'NETWORK_INTERFACE',
    dialect: 'litmus',
    default: 'eth0',
    text: 'Interface of the pod, as it is called inside.',
  },
  ...destinationTunables,
  {
    name: 'SOURCE_PORTS',
    dialect: 'litmus',
    default: '',
    text: 'Only packets from these ports of the pod; with a leading `!` all but these.',
  },
  {
    name: 'DESTINATION_PORTS',
    dialect: 'litmus',
    default: '',
    text: 'Only packets to these ports; with a leading `!` all but these.',
  },
] as const

const parts = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')

function portOf(name: string, text: string): string {
  const [low, high = low] = text.split('-').map((part) => part.trim())
  const [from, to] = [Number(low), Number(high)]
  const fine = /^\d{1,5}(\s*-\s*\d{1,5})?$/.test(text) && from >= 1 && to <= 65_535 && from <= to
  if (fine) return from === to ? String(from) : `${from}-${to}`
  throw new BadTunable(
    name,
    `${JSON.stringify(text)} is not a port`,
    'write numbers from 1 to 65535 with commas between them, or ranges such as 8000-8010',
  )
}

function portsOf(tunables: Tunables, name: string): Ports {
  const text = textOf(tunables, name)
  const except = text.startsWith('!')
  const list = portList(name, except ? text.slice(1) : text)
  if (except && list.length === 0)
    throw new BadTunable(name, 'it spares nothing', 'write ports after the "!"')
  return { list, except }
}

const octet = '(25[0-5]|2[0-4]\\d|1?\\d?\\d)'
const ipv4 = new RegExp(`^${octet}(\\.${octet}){3}(/([12]?\\d|3[0-2]))?$`)
const ipv6 = /^(?=.*:)[0-9a-f:]{2,45}(\/(\d|[1-9]\d|1[01]\d|12[0-8]))?$/i
const hostName = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i

/** 4 or 6 for an address or network, null for anything else. */
export const familyOf = (address: string): 4 | 6 | null =>
  ipv4.test(address) ? 4 : ipv6.test(address) ? 6 : null

type Kind = { isOne(host: string): boolean; what: string; suggestion: string }

const addresses: Kind = {
  isOne: (host) => familyOf(host) !== null,
  what: 'an address or network',
  suggestion: 'write for example 10.0.0.7, 10.0.0.0/8 or 10.0.0.7|8080',
}
const names: Kind = {
  isOne: (host) => hostName.test(host),
  what: 'a host name',
  suggestion: 'write for example shop.demo.svc.cluster.local or shop.example.com|443',
}

function listOf(tunables: Tunables, name: string, kind: Kind): Destination[] {
  return parts(textOf(tunables, name)).map((entry) => {
    const [host = '', ...list] = entry.split('|').map((part) => part.trim())
    if (!kind.isOne(host)) {
      const text = `${JSON.stringify(host)} is not ${kind.what}`
      throw new BadTunable(name, text, kind.suggestion)
    }
    return { host, ports: list.map((text) => portOf(name, text)) }
  })
}

/** Reads a comma list of addresses and networks, each with ports if need be. Throws BadTunable. */
export const addressList = (tunables: Tunables, name: string): Destination[] =>
  listOf(tunables, name, addresses)

/** DESTINATION_IPS and DESTINATION_HOSTS. Throws BadTunable. */
export const destinationsOf = (tunables: Tunables): Destination[] => [
  ...addressList(tunables, 'DESTINATION_IPS'),
  ...listOf(tunables, 'DESTINATION_HOSTS', names),
]

function selectorOf(tunables: Tunables, name: string): string {
  const text = textOf(tunables, name)
  try {
    parseSelector(text)
    return text
  } catch (error) {
    if (!(error instanceof BadSelector)) throw error
    throw new BadTunable(name, error.message, 'write for example "app=web"')
  }
}

/** POD_SELECTOR and NAMESPACE_SELECTOR; null when neither is given. Throws BadTunable. */
export function peersOf(tunables: Tunables): PeerSelector | null {
  const [pods, namespaces] = ['POD_SELECTOR', 'NAMESPACE_SELECTOR'].map((name) =>
    selectorOf(tunables, name),
  ) as [string, string]
  return pods === '' && namespaces === '' ? null : { pods, namespaces }
}

/** Reads a comma list of ports and ranges. Throws BadTunable. */
export const portList = (name: string, text: string): string[] =>
  parts(text).map((part) => portOf(name, part))

/** Reads the filter of a KubernetesChaosExperiment. Throws BadTunable. */
export function filterOf(tunables: Tunables): NetworkFilter {
  const device = textOf(tunables, 'NETWORK_INTERFACE') || 'eth0'
  if (!/^[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}$/.test(device))
    throw new BadTunable(
      'NETWORK_INTERFACE',
      `${JSON.stringify(device)} is not the name of an interface`,
      'write one name, for example eth0',
    )
  return {
    interface: device,
    destinations: destinationsOf(tunables),
    sourcePorts: portsOf(tunables, 'SOURCE_PORTS'),
    destinationPorts: portsOf(tunables, 'DESTINATION_PORTS'),
  }
}

/** All that leaves through the first interface. */
export const noFilter: NetworkFilter = {
  interface: 'eth0',
  destinations: [],
  sourcePorts: { list: [], except: false },
  destinationPorts: { list: [], except: false },
}

/** What every fault on a pod's packets has in common; its fault pod enters the pod's network, and changes it. */
export const onPackets = {
  ...inContainers,
  // the pod's network belongs to its sandbox
  outlivesContainers: true,
  defaults: { durationMs: 60_000 },
  capabilities: ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
} as const
