import { z } from 'zod'
import { BadTunable, type Tunables } from './fault.ts'
import { textOf } from './tunable.ts'

const port = z.string().regex(/^\d{1,5}(-\d{1,5})?$/)
const ports = z.object({
  list: z.array(port).describe('Ports, or ranges such as 8000-8010.'),
  except: z.boolean().describe('true: these are spared; false: these are hit.'),
})
const destination = z.object({
  host: z.string().describe('Name, address or network (CIDR).'),
  ports: z.array(port).describe('Its ports; empty: all.'),
})

/** Which packets a network fault is aimed at. Nothing said: all that leave through the interface. */
export const networkFilter = z.object({
  interface: z.string().describe('Interface of the pod, as it is called inside.'),
  destinations: z.array(destination).describe('Where the packets go.'),
  sourcePorts: ports.describe('Ports of the pod that they come from.'),
  destinationPorts: ports.describe('Ports that they go to.'),
})
export type NetworkFilter = z.infer<typeof networkFilter>
export type Ports = z.infer<typeof ports>

/** The tunables that describe a filter, for the catalogue. */
export const filterTunables = [
  {
    name: 'NETWORK_INTERFACE',
    dialect: 'litmus',
    default: 'eth0',
    text: 'Interface of the pod, as it is called inside.',
  },
  {
    name: 'DESTINATION_IPS',
    dialect: 'litmus',
    default: '',
    text: 'Only packets to these: a comma list of addresses or networks, each with ports if need be (`10.0.0.7|8080|9090`).',
  },
  {
    name: 'DESTINATION_HOSTS',
    dialect: 'litmus',
    default: '',
    text: 'Only packets to these names, looked up when the fault begins; ports as above.',
  },
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
  const list = parts(except ? text.slice(1) : text).map((part) => portOf(name, part))
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

function destinationsOf(
  tunables: Tunables,
  name: string,
  isOne: (host: string) => boolean,
): NetworkFilter['destinations'] {
  return parts(textOf(tunables, name)).map((entry) => {
    const [host = '', ...list] = entry.split('|').map((part) => part.trim())
    if (!isOne(host))
      throw new BadTunable(
        name,
        `${JSON.stringify(host)} is not ${name === 'DESTINATION_IPS' ? 'an address or network' : 'a host name'}`,
        name === 'DESTINATION_IPS'
          ? 'write for example 10.0.0.7, 10.0.0.0/8 or 10.0.0.7|8080; names belong into DESTINATION_HOSTS'
          : 'write for example shop.demo.svc.cluster.local or shop.example.com|443',
      )
    return { host, ports: list.map((text) => portOf(name, text)) }
  })
}

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
    destinations: [
      ...destinationsOf(tunables, 'DESTINATION_IPS', (host) => familyOf(host) !== null),
      ...destinationsOf(tunables, 'DESTINATION_HOSTS', (host) => hostName.test(host)),
    ],
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
