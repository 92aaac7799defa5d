import { type NodeLook, NodeTrouble } from '../../faults/node-fault.ts'
import type { Match, Matches } from './matches.ts'
import { complaint, isThere, type Means, packetsOf } from './means.ts'

/** What the kernel is asked to do with a packet that is meant. */
export type Verdict = string

/** A set of nftables. */
export const setOf = (items: readonly string[]): string => `{ ${items.join(', ')} }`

const text = ({ to, ports }: Match): string =>
  [
    to ? `${to.family === 4 ? 'ip' : 'ip6'} daddr ${to.address}` : '',
    ports ? `${ports.protocol} ${ports.side} ${setOf(ports.list)}` : '',
  ]
    .filter((part) => part !== '')
    .join(' ')

/** The lines of a chain: what is spared passes, then what is wanted meets its verdict. */
export const chainLines = ({ spared, wanted }: Matches, verdict: Verdict): string[] => [
  ...spared.map((match) => `${text(match)} accept`),
  ...wanted.map((match) => `${text(match)} ${verdict}`.trim()),
]

/**
 * What finds neighbours (ARP, neighbour discovery) passes. Lost, it would cost the pod seconds after the fault has ended,
 * and cut it off from those that are spared.
 */
export const neighbourLines = [
  'meta protocol != { ip, ip6 } accept',
  'icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept',
]

/**
 * Where packets that leave are lost. A plain drop there is told to the sender: TCP would take it for a trouble of its
 * own machine, and give a connection up after some eight seconds. What is sent on to the loopback device instead counts
 * as sent, and is thrown away there, as it carries the address of another card. That does not hold for broadcasts.
 */
export const loseChain = [
  '  chain lose {',
  '    meta oiftype != ether counter drop',
  '    ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 counter drop',
  '    counter fwd to "lo"',
  '  }',
]
/** The verdict that leads there. */
export const lose = 'goto lose'

/** One table of our own, with one chain where packets leave the device: made and removed as a whole. */
export const egressTable = (table: string, device: string, lines: readonly string[]): string =>
  [
    `table netdev ${table} {`,
    ...loseChain,
    '  chain egress {',
    `    type filter hook egress device "${device}" priority 0; policy accept;`,
    ...[...neighbourLines, ...lines].map((line) => `    ${line}`),
    '  }',
    '}',
    '',
  ].join('\n')

/** What nft says to a table, tried in a namespace that is made for it and gone with it; null when the kernel takes it. */
export function tableTrouble(ruleset: string, look: NodeLook): string | null {
  if (!look.hasProgram('nft')) return 'nft is not in the image of the fault pod'
  const answer = look.ask(['unshare', '--net', 'nft', '-f', '-'], ruleset)
  return answer.ok ? null : `nft says: ${complaint(answer)}`
}

/** Before this version a packet that was sent on from the egress hook could stop the kernel. */
const soundFrom = [5, 19] as const

function isSound(look: NodeLook): boolean {
  const [major = 0, minor = 0] = (look.read('/proc/sys/kernel/osrelease') ?? '')
    .split('.')
    .map((part) => Number.parseInt(part, 10))
  return major > soundFrom[0] || (major === soundFrom[0] && minor >= soundFrom[1])
}

function tryEgress(look: NodeLook): string | null {
  const needs =
    'the kernel needs nf_tables with the egress hook and fwd (Linux 5.19, CONFIG_NETFILTER_EGRESS, CONFIG_NFT_FWD_NETDEV)'
  if (!isSound(look)) return needs
  const says = tableTrouble(egressTable('chaosplane_trial', 'lo', [lose]), look)
  return says === null ? null : `${needs}; ${says}`
}

const tried = new WeakMap<NodeLook, string | null>()

/** Why packets cannot be lost where they leave a device; null when they can. A kernel does not change: tried once. */
export function egressTrouble(look: NodeLook): string | null {
  const known = tried.get(look)
  if (known !== undefined) return known
  const trouble = tryEgress(look)
  tried.set(look, trouble)
  return trouble
}

/** Rules of a table, and packets that met a verdict so far, out of `nft -j list table`. */
export function countOf(json: string): { rules: number; packets: number } | null {
  try {
    const { nftables } = JSON.parse(json) as { nftables: { rule?: { expr?: unknown[] } }[] }
    const rules = nftables.flatMap(({ rule }) => rule ?? [])
    const counters = rules
      .flatMap(({ expr }) => expr ?? [])
      .map((expr) => (expr as { counter?: { packets?: number } }).counter?.packets ?? 0)
    return { rules: rules.length, packets: counters.reduce((sum, packets) => sum + packets, 0) }
  } catch {
    return null
  }
}

/** Lines of our tables that are rules: those of a chain, but for what it is hooked to and what sets consist of. */
const rulesIn = (ruleset: string): number =>
  ruleset.split('\n').filter((line) => /^ {4}(?!type |elements = )/.test(line)).length

/** A table of nftables: nothing but ours is in it, and nobody else has one of this name. */
export type TablePlan = { means: 'nft'; family: 'netdev' | 'inet'; table: string; ruleset: string }

/** Made in one transaction and removed in one. */
export const table: Means<TablePlan> = {
  inject({ ruleset }, run) {
    const answer = run(['nft', '-f', '-'], ruleset)
    if (answer.ok) return
    throw new NodeTrouble('CHAOS_INJECT_ERROR', `nft refused the rules: ${complaint(answer)}`)
  },

  seen({ family, table, ruleset }, ask) {
    const answer = ask(['nft', '-j', 'list', 'table', family, table])
    if (!isThere(answer, 'No such file or directory')) return null
    const count = countOf(answer.stdout)
    // a flush takes the rules away and leaves the table
    if (count && count.rules < rulesIn(ruleset)) return null
    return `lost in table ${family} ${table} of nftables; ${packetsOf(count?.packets ?? 0)} so far`
  },

  revert({ family, table }, run) {
    run(['nft', 'delete', 'table', family, table])
  },

  left({ family, table }, ask) {
    const answer = ask(['nft', 'list', 'tables'])
    isThere(answer, 'none is no answer')
    return answer.stdout.split('\n').includes(`table ${family} ${table}`)
      ? {
          left: `table ${table} is still there`,
          remaining: [`nft delete table ${family} ${table}`],
        }
      : { proof: `no table ${table} is left in the pod's network` }
  },

  undo: ({ family, table }) => [
    `in_net nft delete table ${family} ${table} 2>/dev/null`,
    `tables=$(in_net nft list tables) || exit 1`,
    `! echo "$tables" | grep -q ' ${table}$'`,
  ],
}
