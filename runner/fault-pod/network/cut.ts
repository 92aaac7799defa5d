import type { Destination, Protocol } from './matches.ts'
import { protocols } from './matches.ts'
import { lose, loseChain, neighbourLines, setOf } from './ruleset.ts'

/** `egress`: connections that the pod opens; `ingress`: connections that others open to it. */
export type Direction = 'ingress' | 'egress'

/** Which connections of a pod are cut, and how they are told apart. */
export type Cut = {
  directions: readonly Direction[]
  /** none: with everybody */
  destinations: readonly Destination[]
  /** ports of the side that is called; none: all, and what has no ports */
  ports: readonly { protocol: Protocol | 'any'; list: readonly string[] }[]
  /** addresses that stay reachable */
  spared: readonly { family: 4 | 6; address: string }[]
  /** TCP ports on which the pod listens */
  servers: readonly string[]
  /** the ports that the pod's kernel gives to outgoing connections, `32768-60999` */
  outgoing: string
}

/** Where the packets are met: at the devices themselves, or between them and the rest of the network stack. */
export type Hooks = { family: 'netdev'; devices: readonly string[] } | { family: 'inet' }

type Way = 'in' | 'out'
/** the peer's address and the ports of both sides, as a packet of this way carries them */
const fields = {
  in: { peer: 'saddr', local: 'dport', remote: 'sport' },
  out: { peer: 'daddr', local: 'sport', remote: 'dport' },
} as const

const families = [4, 6] as const
const nameOf = (family: 4 | 6): string => (family === 4 ? 'ip' : 'ip6')

function hookLines(way: Way, hooks: Hooks): string[] {
  if (hooks.family === 'netdev') {
    const devices = setOf(hooks.devices.map((device) => `"${device}"`))
    const hook = way === 'in' ? 'ingress' : 'egress'
    return [`type filter hook ${hook} devices = ${devices} priority 0; policy accept;`]
  }
  // outside of every translation of addresses, as at the device
  const [hook, priority] = way === 'in' ? ['prerouting', -300] : ['postrouting', 300]
  return [
    `type filter hook ${hook} priority ${priority}; policy accept;`,
    `${way === 'in' ? 'iifname' : 'oifname'} "lo" accept`,
  ]
}

const sparingLines = (way: Way, { spared }: Cut): string[] => [
  ...neighbourLines,
  ...spared.map(({ family, address }) => `${nameOf(family)} ${fields[way].peer} ${address} accept`),
]

type Asked = { cut: Cut; hooks: Hooks }

type PortMatch = { protocol: Protocol; text: string }

function portMatches(side: string, lists: Cut['ports']): PortMatch[] {
  return lists.flatMap(({ protocol, list }) =>
    (protocol === 'any' ? protocols : [protocol]).map((name) => ({
      protocol: name,
      text: `${name} ${side} ${setOf(list)}`,
    })),
  )
}

/** Every combination of peer and port that is cut. */
function dropLines(way: Way, side: string, { cut, hooks }: Asked): string[] {
  const verdict = way === 'out' && hooks.family === 'netdev' ? lose : 'counter drop'
  const { peer } = fields[way]
  const called = portMatches(side, cut.ports)
  const on = (where: string, own: PortMatch[]): string[] => {
    const both = own.flatMap((one) =>
      called.length === 0
        ? [one.text]
        : called.filter((c) => c.protocol === one.protocol).map((c) => `${one.text} ${c.text}`),
    )
    const texts = own.length > 0 ? both : called.length > 0 ? called.map((c) => c.text) : ['']
    return texts.map((text) => [where, text, verdict].filter(Boolean).join(' '))
  }
  if (cut.destinations.length === 0) return on('', [])
  const whole = families.filter((family) => wholeOf(cut, family).length > 0)
  return [
    ...whole.flatMap((family) => on(`${nameOf(family)} ${peer} @peers${family}`, [])),
    ...cut.destinations
      .filter(({ ports }) => ports.length > 0)
      .flatMap(({ family, address, ports }) =>
        on(
          `${nameOf(family)} ${peer} ${address}`,
          portMatches(side, [{ protocol: 'any', list: ports }]),
        ),
      ),
  ]
}

const wholeOf = ({ destinations }: Cut, family: 4 | 6): string[] =>
  destinations.flatMap((d) => (d.family === family && d.ports.length === 0 ? [d.address] : []))

/** Both directions and no ports: then nobody has to know who called whom. */
const isPlain = ({ directions, ports, destinations }: Cut): boolean =>
  directions.length === 2 &&
  ports.length === 0 &&
  destinations.every((destination) => destination.ports.length === 0)

/**
 * Lines that send a packet to the chain of its connection's direction. A TCP connection was opened by the peer when the
 * pod's port is one on which it listens: known from the start, and learnt whenever the pod takes a connection. What
 * has no such state goes by the port: those for outgoing connections are the pod's own. Errors of ICMP pass.
 */
function tellingLines(way: Way, { outgoing }: Cut): string[] {
  const { local } = fields[way]
  const taken = 'tcp flags & (syn | ack) == syn | ack add @servers { tcp sport }'
  // the answer of a port that is closed, and the first packet of a call
  const called =
    way === 'out'
      ? ['tcp flags & (rst | ack) == rst | ack tcp sequence 0']
      : ['tcp flags & (syn | ack) == syn']
  const [asked, answered] =
    way === 'in' ? ['echo-request', 'echo-reply'] : ['echo-reply', 'echo-request']
  const theirs = [
    ...called,
    `tcp ${local} @servers`,
    `udp ${local} != ${outgoing}`,
    `sctp ${local} != ${outgoing}`,
    `icmp type ${asked}`,
    `icmpv6 type ${asked}`,
  ]
  return [
    ...(way === 'out' ? [taken] : []),
    ...theirs.map((match) => `${match} goto theirs_${way}`),
    `icmp type != ${answered} accept`,
    `icmpv6 type != ${answered} accept`,
    `goto own_${way}`,
  ]
}

const chain = (name: string, lines: readonly string[]): string[] => [
  `  chain ${name} {`,
  ...lines.map((line) => `    ${line}`),
  '  }',
]

function plainChains(way: Way, asked: Asked): string[] {
  const lines = [...hookLines(way, asked.hooks), ...sparingLines(way, asked.cut)]
  return chain(way, [...lines, ...dropLines(way, fields[way].remote, asked)])
}

function tellingChains(way: Way, { cut, hooks }: Asked): string[] {
  const { local, remote } = fields[way]
  const asked = (direction: Direction, side: string): string[] =>
    cut.directions.includes(direction) ? dropLines(way, side, { cut, hooks }) : []
  return [
    ...chain(`own_${way}`, asked('egress', remote)),
    ...chain(`theirs_${way}`, asked('ingress', local)),
    ...chain(way, [...hookLines(way, hooks), ...sparingLines(way, cut), ...tellingLines(way, cut)]),
  ]
}

const peerSet = (family: 4 | 6, addresses: readonly string[]): string[] =>
  addresses.length === 0
    ? []
    : [
        `  set peers${family} {`,
        `    type ipv${family}_addr; flags interval; auto-merge;`,
        `    elements = ${setOf(addresses)}`,
        '  }',
      ]

const serverSet = ({ servers }: Cut): string[] => [
  '  set servers {',
  '    type inet_service; flags dynamic; size 65535;',
  ...(servers.length > 0 ? [`    elements = ${setOf(servers)}`] : []),
  '  }',
]

/** One table of our own that cuts the connections: made and removed as a whole. */
export function cutTable(name: string, hooks: Hooks, cut: Cut): string {
  const plain = isPlain(cut)
  const chains = plain ? plainChains : tellingChains
  return [
    `table ${hooks.family} ${name} {`,
    ...families.flatMap((family) => peerSet(family, wholeOf(cut, family))),
    ...(plain ? [] : serverSet(cut)),
    ...(hooks.family === 'netdev' ? loseChain : []),
    ...chains('in', { cut, hooks }),
    ...chains('out', { cut, hooks }),
    '}',
    '',
  ].join('\n')
}

/** Ports on which somebody listens, out of /proc/<pid>/net/tcp or tcp6. */
export const listeningPorts = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    const [, local, , state] = line.trim().split(/\s+/)
    const port = local?.split(':')[1]
    return state === '0A' && port ? [String(Number.parseInt(port, 16))] : []
  })
