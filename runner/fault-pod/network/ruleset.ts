import type { NetworkFilter, Ports } from '../../../model/network.ts'

/** Addresses with the ports that count there; every address is of the family in front of it. */
export type Destination = { family: 4 | 6; address: string; ports: string[] }

export type Aim = Omit<NetworkFilter, 'destinations'> & { destinations: Destination[] }

/** What the kernel is asked to do with a packet that the aim matches. */
export type Verdict = string

const set = (items: readonly string[]): string => `{ ${items.join(', ')} }`
const protocols = ['tcp', 'udp', 'sctp'] as const

const onPorts = (side: 'sport' | 'dport', list: readonly string[]): string[] =>
  protocols.map((protocol) => `${protocol} ${side} ${set(list)}`)

const spared = (side: 'sport' | 'dport', { list, except }: Ports): string[] =>
  except ? onPorts(side, list).map((match) => `${match} accept`) : []

const wanted = (side: 'sport' | 'dport', { list, except }: Ports): string[] =>
  !except && list.length > 0 ? onPorts(side, list) : []

const toDestination = ({ family, address, ports }: Destination): string[] => {
  const match = `${family === 4 ? 'ip' : 'ip6'} daddr ${address}`
  return ports.length === 0 ? [match] : onPorts('dport', ports).map((on) => `${match} ${on}`)
}

/**
 * The lines of a chain: what is spared passes, then what is aimed at meets its verdict. Destinations and port lists
 * are united, as each of them is a way to name packets; without any, all packets are meant.
 */
export function chainLines(aim: Aim, verdict: Verdict): string[] {
  const matches = [
    ...aim.destinations.flatMap(toDestination),
    ...wanted('sport', aim.sourcePorts),
    ...wanted('dport', aim.destinationPorts),
  ]
  return [
    ...spared('sport', aim.sourcePorts),
    ...spared('dport', aim.destinationPorts),
    ...(matches.length > 0 ? matches : ['']).map((match) => `${match} ${verdict}`.trim()),
  ]
}

/** One table of our own, with one chain where packets leave the device: made and removed as a whole. */
export const egressTable = (table: string, device: string, lines: readonly string[]): string =>
  [
    `table netdev ${table} {`,
    `  chain egress {`,
    `    type filter hook egress device "${device}" priority 0; policy accept;`,
    ...lines.map((line) => `    ${line}`),
    '  }',
    '}',
    '',
  ].join('\n')

/** Packets that met the verdict so far, out of `nft -j list table`. */
export function countOf(json: string): number | null {
  try {
    const { nftables } = JSON.parse(json) as { nftables: { rule?: { expr?: unknown[] } }[] }
    const counters = nftables
      .flatMap(({ rule }) => rule?.expr ?? [])
      .map((expr) => (expr as { counter?: { packets?: number } }).counter?.packets ?? 0)
    return counters.reduce((sum, packets) => sum + packets, 0)
  } catch {
    return null
  }
}
