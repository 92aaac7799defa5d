import type { NetworkFilter, Ports } from '../../../model/network.ts'

/** Addresses with the ports that count there; every address is of the family in front of it. */
export type Destination = { family: 4 | 6; address: string; ports: string[] }

/** A filter whose names are looked up. */
export type Aim = Omit<NetworkFilter, 'destinations'> & { destinations: Destination[] }

export const protocols = ['tcp', 'udp', 'sctp'] as const
export type Protocol = (typeof protocols)[number]

/** Packets by where they go and by ports, each part optional: an empty match means every packet. */
export type Match = {
  to?: { family: 4 | 6; address: string }
  ports?: { protocol: Protocol; side: 'sport' | 'dport'; list: readonly string[] }
}

/** Which packets pass whatever else is said, and which of the others are meant. */
export type Matches = { spared: Match[]; wanted: Match[] }

const onPorts = (side: 'sport' | 'dport', list: readonly string[]): Match[] =>
  protocols.map((protocol) => ({ ports: { protocol, side, list } }))

const sparedBy = (side: 'sport' | 'dport', { list, except }: Ports): Match[] =>
  except ? onPorts(side, list) : []

const wantedBy = (side: 'sport' | 'dport', { list, except }: Ports): Match[] =>
  !except && list.length > 0 ? onPorts(side, list) : []

const toDestination = ({ family, address, ports }: Destination): Match[] => {
  const to = { family, address }
  return ports.length === 0 ? [{ to }] : onPorts('dport', ports).map((match) => ({ to, ...match }))
}

/**
 * The packets that an aim means. Destinations and port lists are united, as each of them is a way to name packets;
 * without any, all packets are meant.
 */
export function matchesOf(aim: Aim): Matches {
  const wanted = [
    ...aim.destinations.flatMap(toDestination),
    ...wantedBy('sport', aim.sourcePorts),
    ...wantedBy('dport', aim.destinationPorts),
  ]
  return {
    spared: [...sparedBy('sport', aim.sourcePorts), ...sparedBy('dport', aim.destinationPorts)],
    wanted: wanted.length > 0 ? wanted : [{}],
  }
}
