import { type FoundTarget, type NodeLook, NodeTrouble } from '../../faults/node-fault.ts'
import type { Match, Matches } from './matches.ts'
import { complaint, type Inside, isThere, type Left, type Means, packetsOf } from './means.ts'

type Family = 4 | 6
/** The two makes of iptables: rules of nf_tables, or of the older ip_tables. */
type Make = 'nft' | 'legacy'

type Table = {
  family: Family
  /** what iptables-restore reads */
  rules: string
  /** what was not there before: it is taken away again when nobody else has begun to use it */
  fresh: 'table' | 'chain' | null
}

/** A chain of our own where packets have left routing and rewriting behind them, for each family that counts. */
export type IptablesPlan = {
  means: 'iptables'
  make: Make
  chain: string
  device: string
  tables: Table[]
}

const name = (make: Make, family: Family, part: '' | '-restore' = ''): string =>
  `${family === 4 ? 'iptables' : 'ip6tables'}-${make}${part}`

/** The lock of the host's file system: that of the fault pod's image cannot be written. */
const withLock = (make: Make, hostRoot: string): string[] =>
  make === 'legacy' ? ['env', `XTABLES_LOCKFILE=${hostRoot}/run/xtables.lock`] : []

const program = (
  { make }: Pick<IptablesPlan, 'make'>,
  family: Family,
  { hostRoot }: Pick<NodeLook, 'hostRoot'>,
): [string, ...string[]] => {
  const words = [...withLock(make, hostRoot), name(make, family)]
  return [words[0] ?? '', ...words.slice(1), '-w', '2', '-t', 'mangle']
}

function selectors({ to, ports }: Match, family: Family): string[] {
  if (to && to.family !== family) return []
  const where = to ? `-d ${to.address}` : ''
  if (!ports) return [where]
  const side = ports.side === 'sport' ? '--sport' : '--dport'
  return ports.list.map((range) =>
    `${where} -p ${ports.protocol} ${side} ${range.replace('-', ':')}`.trim(),
  )
}

/** Neighbour discovery, which is of IPv6: what the pod has lost there also cuts it off from what is spared. */
const neighbours = ['133', '134', '135', '136'].map(
  (type) => `-p icmpv6 --icmpv6-type ${type} -j RETURN`,
)

/** The rules of one family, for iptables-restore. */
export function rulesOf(
  { spared, wanted }: Matches,
  family: Family,
  { chain, device, percent }: { chain: string; device: string; percent: number },
): string {
  const random =
    percent === 100 ? '' : `-m statistic --mode random --probability ${(percent / 100).toFixed(2)}`
  const pick = (matches: readonly Match[], then: string): string[] =>
    matches
      .flatMap((match) => selectors(match, family))
      .map((selector) => ['-A', chain, selector, then].filter(Boolean).join(' '))
  return [
    '*mangle',
    `:${chain} - [0:0]`,
    ...(family === 6 ? neighbours.map((rule) => `-A ${chain} ${rule}`) : []),
    ...pick(spared, '-j RETURN'),
    ...pick(wanted, `${random} -j DROP`.trim()),
    `-A POSTROUTING -o ${device} -j ${chain}`,
    'COMMIT',
    '',
  ].join('\n')
}

const tableOf = (family: Family): string => (family === 4 ? 'ip' : 'ip6')

const families = [4, 6] as const
const letters = { table: 't', chain: 'c' } as const

/**
 * What each experiment has found missing is the end of its chain's name, a letter for IPv4 and one for IPv6: the next one
 * sees a table there, and takes over from the first to take it away. Whoever goes last does.
 */
const endOf = (tables: readonly Pick<Table, 'family' | 'fresh'>[]): string =>
  families
    .map((family) => tables.find((one) => one.family === family)?.fresh ?? null)
    .map((fresh) => (fresh ? letters[fresh] : 'n'))
    .join('')

/** What others of ours that are at work in a table have found missing there. */
function foundMissing(listed: string, family: Family): string[] {
  const ends = [...listed.matchAll(/chain chaosplane_[0-9a-f]+_([tcn]{2}) \{/g)]
  return ends.map(([, end = '']) => end[families.indexOf(family)] ?? '')
}

/** Throws when it cannot be seen. */
function freshIn(make: Make, family: Family, ask: Inside): Table['fresh'] {
  if (make === 'legacy') return null
  const answer = ask(['nft', 'list', 'table', tableOf(family), 'mangle'])
  if (!isThere(answer, 'No such file or directory')) return 'table'
  const missing = foundMissing(answer.stdout, family)
  if (missing.includes(letters.table)) return 'table'
  const isNew = missing.includes(letters.chain) || !answer.stdout.includes('chain POSTROUTING {')
  return isNew ? 'chain' : null
}

const speaksIpv6 = ({ pid }: FoundTarget, look: NodeLook): boolean =>
  (look.read(`/proc/${pid}/net/if_inet6`) ?? '') !== ''

/** Which make works on this node, tried in a namespace that is made for it and gone with it; else why none does. */
export function findIptables(look: NodeLook): { make: Make } | { trouble: string } {
  let trouble = 'iptables is not in the image of the fault pod'
  for (const make of ['nft', 'legacy'] as const) {
    if (!look.hasProgram(name(make, 4))) continue
    const rule = [
      '-A',
      'POSTROUTING',
      '-m',
      'statistic',
      '--mode',
      'random',
      '--probability',
      '0.5',
    ]
    const answer = look.ask([
      'unshare',
      '--net',
      ...program({ make }, 4, look),
      ...rule,
      '-j',
      'DROP',
    ])
    if (answer.ok) return { make }
    trouble = `iptables-${make} says: ${complaint(answer)}`
  }
  return { trouble }
}

export function planIptables(
  target: FoundTarget,
  asked: { make: Make; chain: string; device: string; percent: number; matches: Matches },
  { ask, look }: { ask: Inside; look: NodeLook },
): IptablesPlan {
  const { make, device, matches } = asked
  const spoken = families.filter((family) => family === 4 || speaksIpv6(target, look))
  const found = spoken.map((family) => ({ family, fresh: freshIn(make, family, ask) }))
  const chain = `${asked.chain}_${endOf(found)}`
  const tables = found.map((one) => ({
    ...one,
    rules: rulesOf(matches, one.family, { ...asked, chain }),
  }))
  // a family that no rule is about is left alone
  const used = tables.filter(({ rules }) => rules.includes('DROP'))
  return { means: 'iptables', make, chain, device, tables: used }
}

type Sight = { ask: Inside; look: NodeLook }

/** All chains and rules of the table. Throws when they cannot be seen. */
function linesOf(plan: IptablesPlan, family: Family, { ask, look }: Sight): string[] {
  const answer = ask([...program(plan, family, look), '-S'])
  isThere(answer, 'none is no answer')
  return answer.stdout.split('\n')
}

const hasChain = (plan: IptablesPlan, family: Family, sight: Sight): boolean =>
  linesOf(plan, family, sight).includes(`-N ${plan.chain}`)

/** How many of these are rules of our chain. */
const ownRules = (lines: readonly string[], { chain }: IptablesPlan): number =>
  lines.filter((line) => line.startsWith(`-A ${chain} `)).length

/** Whether packets are led to our chain and it has all its rules: a flush takes those away and leaves the chain. */
function isAtWork(plan: IptablesPlan, { family, rules }: Table, sight: Sight): boolean {
  const lines = linesOf(plan, family, sight)
  return (
    lines.includes(`-A ${jump(plan).join(' ')}`) &&
    ownRules(lines, plan) >= ownRules(rules.split('\n'), plan)
  )
}

const listed = (plan: IptablesPlan, family: Family, { ask, look }: Sight): string =>
  ask([...program(plan, family, look), '-L', plan.chain, '-v', '-x', '-n']).stdout

/** Packets that were dropped, out of `iptables -L -v -x`. */
const dropped = (text: string): number =>
  text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , verdict]) => verdict === 'DROP')
    .reduce((sum, [packets]) => sum + Number(packets), 0)

/** Takes away the chain, and the table, that only iptables itself has made for our sake. */
function tidy(
  family: Family,
  fresh: Table['fresh'],
  run: Inside,
  iptables: readonly string[],
): void {
  if (!fresh) return
  const [first = '', ...rest] = iptables
  // refused by the kernel when the chain has rules
  run([first, ...rest, '-X', 'POSTROUTING'])
  const { ok, stdout } = run(['nft', 'list', 'table', tableOf(family), 'mangle'])
  if (fresh === 'table' && ok && !stdout.includes('chain '))
    run(['nft', 'delete', 'table', tableOf(family), 'mangle'])
}

const jump = ({ device, chain }: IptablesPlan): string[] => [
  'POSTROUTING',
  '-o',
  device,
  '-j',
  chain,
]

/** Packets dropped by the match `statistic`, for kernels that have neither the egress hook nor netem. */
export const iptables: Means<IptablesPlan> = {
  inject(plan, run, look) {
    for (const { family, rules } of plan.tables) {
      const words = [...withLock(plan.make, look.hostRoot), name(plan.make, family, '-restore')]
      const answer = run([words[0] ?? '', ...words.slice(1), '-w', '2', '--noflush'], rules)
      if (!answer.ok)
        throw new NodeTrouble(
          'CHAOS_INJECT_ERROR',
          `iptables refused the rules: ${complaint(answer)}`,
        )
    }
  },

  seen(plan, ask, look) {
    const sight = { ask, look }
    if (!plan.tables.every((table) => isAtWork(plan, table, sight))) return null
    const lists = plan.tables.map(({ family }) => listed(plan, family, sight))
    const packets = lists.reduce((sum, text) => sum + dropped(text), 0)
    return `dropped by chain ${plan.chain} of iptables-${plan.make} (match statistic); ${packetsOf(packets)} so far`
  },

  revert(plan, run, look) {
    for (const { family, fresh } of plan.tables) {
      const iptables = program(plan, family, look)
      run([...iptables, '-D', ...jump(plan)])
      run([...iptables, '-F', plan.chain])
      run([...iptables, '-X', plan.chain])
      tidy(family, fresh, run, iptables)
    }
  },

  left(plan, ask, look): Left {
    const still = plan.tables.filter(({ family }) => hasChain(plan, family, { ask, look }))
    if (still.length === 0)
      return { proof: `no chain ${plan.chain} of iptables is left in the pod's network` }
    return {
      left: `chain ${plan.chain} of iptables is still there`,
      remaining: still.flatMap(({ family }) => {
        const command = `${name(plan.make, family)} -t mangle`
        return [
          `${command} -D ${jump(plan).join(' ')}`,
          `${command} -F ${plan.chain}`,
          `${command} -X ${plan.chain}`,
        ]
      }),
    }
  },

  undo: (plan) => [
    'XTABLES_LOCKFILE=$H/run/xtables.lock',
    'export XTABLES_LOCKFILE',
    ...plan.tables.flatMap(({ family, fresh }) => {
      const command = `in_net ${name(plan.make, family)} -w 2 -t mangle`
      const table = `${tableOf(family)} mangle`
      return [
        `${command} -D ${jump(plan).join(' ')} 2>/dev/null`,
        `${command} -F ${plan.chain} 2>/dev/null`,
        `${command} -X ${plan.chain} 2>/dev/null`,
        ...(fresh ? [`${command} -X POSTROUTING 2>/dev/null`] : []),
        ...(fresh === 'table'
          ? [
              // what could not be listed may be in use
              `table=$(in_net nft list table ${table} 2>/dev/null) && ! echo "$table" | grep -q 'chain ' && in_net nft delete table ${table} 2>/dev/null`,
            ]
          : []),
      ]
    }),
    ...plan.tables.flatMap(({ family }) => [
      `rules=$(in_net ${name(plan.make, family)} -w 2 -t mangle -S) || exit 1`,
      `! echo "$rules" | grep -q '^-N ${plan.chain}$' || exit 1`,
    ]),
  ],
}
