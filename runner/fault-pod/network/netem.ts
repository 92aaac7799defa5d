import { createHash } from 'node:crypto'
import { type FoundTarget, type NodeLook, NodeTrouble } from '../../faults/node-fault.ts'
import type { Matches } from './matches.ts'
import { complaint, type Inside, isThere, type Left, type Means, packetsOf } from './means.ts'
import { everything, filterLines } from './u32.ts'

/**
 * netem at work on a device. `root`: in the place of the kernel's own default, which comes back by itself when ours
 * is removed. `beside`: the device has a queueing discipline that somebody made, and keeps it: the packets that are
 * meant take a turn through a device of ours, and come back to where they left.
 */
export type NetemPlan = {
  means: 'netem'
  way: 'root' | 'beside'
  device: string
  /** handle of our queueing discipline */
  handle: string
  /** `beside`: the device of ours, the first preference of our filters, and whether the hook for them is new */
  turn: { device: string; pref: number; hook: boolean }
  /** lines for `ip -batch` and then for `tc -batch` */
  ip: string[]
  tc: string[]
  /** `tc -j qdisc show` of the device, as it was */
  before: string
  /** the device had no length for a queue, as those that CNI plugins make: the first queueing discipline gives it one */
  queueless?: boolean
}

type Qdisc = {
  kind: string
  handle: string
  root?: boolean
  parent?: string
  packets?: number
}

/** Devices of ours have names that begin so. */
const ours = 'chaos'
/** what is on its way at one time; the default of 1000 would lose packets of a busy pod instead of delaying them */
const limit = 100_000

function qdiscs(text: string): Qdisc[] {
  try {
    return JSON.parse(text) as Qdisc[]
  } catch {
    return []
  }
}

/** What the kernel gives a device without a length when it gets a queueing discipline; it does not take it back. */
const givenLength = 1000
const lengthCommand = (device: string) =>
  ['ip', 'link', 'set', 'dev', device, 'txqueuelen', '0'] as const

/** The length for queues of a device, 0 for none; undefined when there is no such device. */
function lengthOf(device: string, ask: Inside): number | undefined {
  const answer = ask(['ip', '-o', 'link', 'show', 'dev', device])
  if (!isThere(answer, 'does not exist')) return undefined
  return Number(/ qlen (\d+)/.exec(answer.stdout)?.[1] ?? 0)
}

const show = (device: string, ...flags: string[]) =>
  ['tc', '-j', ...flags, 'qdisc', 'show', 'dev', device] as const

/** Whether the root is what the kernel gave the device by itself: only such a one has no handle. */
const isDefault = (all: readonly Qdisc[]): boolean =>
  all.every(({ root, handle }) => !root || handle === '0:')

const isAll = ({ spared, wanted }: Matches): boolean =>
  spared.length === 0 && wanted.some(({ to, ports }) => !to && !ports)

const plainLine = ({ device, handle }: Pick<NetemPlan, 'device' | 'handle'>, netem: string) =>
  `qdisc add dev ${device} root handle ${handle}: ${netem}`

function bandLines(plan: Pick<NetemPlan, 'device' | 'handle'>, netem: string, matches: Matches) {
  const { device, handle } = plan
  // three bands as the kernel fills them, and a fourth that only our filters lead to
  const bands = 'bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1'
  const at = `parent ${handle}:`
  const places = { pref: 1, pass: `flowid ${handle}:2`, hit: `flowid ${handle}:4` }
  return [
    `qdisc add dev ${device} root handle ${handle}: prio ${bands}`,
    `qdisc add dev ${device} parent ${handle}:4 ${netem}`,
    ...filterLines(matches, { device, at, ...places }),
  ]
}

function besideLines(
  plan: Pick<NetemPlan, 'device' | 'handle' | 'turn'>,
  netem: string,
  matches: Matches,
) {
  const { device, handle, turn } = plan
  const hit = `action mirred egress redirect dev ${turn.device}`
  const place = { device, at: 'egress', pref: turn.pref, pass: 'flowid :1', hit }
  return {
    ip: [
      `link add name ${turn.device} type ifb`,
      `link set dev ${turn.device} addrgenmode none up`,
    ],
    tc: [
      `qdisc add dev ${turn.device} root handle ${handle}: ${netem}`,
      ...(turn.hook ? [`qdisc add dev ${device} clsact`] : []),
      ...filterLines(matches, place),
    ],
  }
}

/** `netem`: what it is to do, for example `delay 100ms 10ms`. Throws NodeTrouble. */
export function planNetem(
  target: FoundTarget,
  { device, matches, netem }: { device: string; matches: Matches; netem: string },
  { ask, look }: { ask: Inside; look: NodeLook },
): NetemPlan {
  const answer = ask(show(device))
  if (!answer.ok)
    throw new NodeTrouble(
      'CHAOS_INJECT_ERROR',
      `The queueing disciplines of ${device} in ${target.id} cannot be read: ${complaint(answer)}`,
    )
  const before = answer.stdout.trim()
  const all = qdiscs(before)
  const hash = createHash('sha256').update(`${target.mark} ${device}`).digest()
  const handle = (0xc000 + (hash.readUInt16BE(0) % 0x3000)).toString(16)
  const turn = {
    device: `${ours}${hash.toString('hex', 2, 7)}`,
    pref: 20_000 + (hash.readUInt16BE(8) % 10_000),
    hook: !all.some(({ kind }) => kind === 'clsact'),
  }
  const queueless = lengthOf(device, ask) === 0
  const base = { means: 'netem', device, handle, turn, before, queueless } as const
  const words = `netem limit ${limit} ${netem}`
  if (isDefault(all)) {
    // without bands what finds neighbours waits like everything else
    const plain = isAll(matches) && bandTrouble(look) !== null
    const tc = plain ? [plainLine(base, words)] : bandLines(base, words, matches)
    return { ...base, way: 'root', ip: [], tc }
  }
  if (all.some(({ kind }) => kind === 'ingress'))
    throw new NodeTrouble(
      'CHAOS_INJECT_ERROR',
      `${device} of ${target.id} has queueing disciplines of its own, at its root and where packets come in: there is no place for another one that would leave them as they are.`,
    )
  mustBeAlone(turn.device, ask)
  return { ...base, way: 'beside', ...besideLines(base, words, matches) }
}

/** A packet takes one turn only: of two devices of ours the second would see nothing. */
function mustBeAlone(device: string, ask: Inside): void {
  const { stdout } = ask(['ip', '-o', 'link', 'show', 'type', 'ifb'])
  const other = stdout
    .split('\n')
    .flatMap((line) => line.match(/^\d+: ([^:@]+)/)?.[1] ?? [])
    .find((name) => name.startsWith(ours) && name !== device)
  if (other)
    throw new NodeTrouble(
      'CHAOS_INJECT_ERROR',
      `Two experiments are at work on the packets of this pod already (device ${other}): wait until one of them has ended.`,
    )
}

const prefsOf = ({ pref }: NetemPlan['turn']): number[] => [pref, pref + 1]

const noDevice = 'Cannot find device'

/** The queueing disciplines of a device; none when there is no such device. Throws when they cannot be seen. */
function qdiscsOf(device: string, ask: Inside, ...flags: string[]): Qdisc[] {
  const answer = ask(show(device, ...flags))
  return isThere(answer, noDevice) ? qdiscs(answer.stdout) : []
}

function filtersOf(device: string, side: 'egress' | 'ingress', ask: Inside): string {
  const answer = ask(['tc', 'filter', 'show', 'dev', device, side])
  return isThere(answer, noDevice) ? answer.stdout : ''
}

/** Whether all filters are there that lead packets to netem: what nothing leads to is at work on nothing. */
function isLedTo({ tc, way, device, handle }: NetemPlan, ask: Inside): boolean {
  const planned = tc.flatMap((line) => /^filter .* pref (\d+) /.exec(line)?.[1] ?? [])
  const at = way === 'root' ? ['parent', `${handle}:`] : ['egress']
  // one preference at a time: of thousands of filters an answer can be too long
  return [...new Set(planned)].every((pref) => {
    const answer = ask(['tc', 'filter', 'show', 'dev', device, ...at, 'pref', pref])
    const found = isThere(answer, noDevice) ? answer.stdout.split(' key ht ').length - 1 : 0
    return found >= planned.filter((one) => one === pref).length
  })
}

/** The commands that would remove what is left of ours; empty when nothing is. Throws when that cannot be seen. */
function remains(plan: NetemPlan, ask: Inside): string[] {
  const { way, device, handle, turn } = plan
  if (way === 'root') {
    const isAtWork = qdiscsOf(device, ask).some((q) => q.handle === `${handle}:`)
    if (isAtWork) return [`tc qdisc del dev ${device} root handle ${handle}:`]
    return hasGivenLength(plan, ask) ? [lengthCommand(device).join(' ')] : []
  }
  const filters = filtersOf(device, 'egress', ask)
  const prefs = prefsOf(turn).filter((pref) => filters.includes(` pref ${pref} `))
  const there = isThere(ask(['ip', 'link', 'show', 'dev', turn.device]), 'does not exist')
  return [
    ...prefs.map((pref) => `tc filter del dev ${device} egress pref ${pref}`),
    ...(there ? [`ip link del dev ${turn.device}`] : []),
    ...(turn.hook && isIdleHook(device, ask) ? [`tc qdisc del dev ${device} clsact`] : []),
  ]
}

/** The device still has the length that came with ours, and nobody has made another root that may count on it. */
const hasGivenLength = ({ queueless, device }: NetemPlan, ask: Inside): boolean =>
  queueless === true && lengthOf(device, ask) === givenLength && isDefault(qdiscsOf(device, ask))

/** The hook for filters is there and nobody uses it. */
const isIdleHook = (device: string, ask: Inside): boolean =>
  qdiscsOf(device, ask).some(({ kind }) => kind === 'clsact') &&
  filtersOf(device, 'egress', ask).trim() === '' &&
  filtersOf(device, 'ingress', ask).trim() === ''

function batch(program: 'ip' | 'tc', lines: readonly string[], run: Inside): void {
  if (lines.length === 0) return
  const answer = run([program, '-batch', '-'], `${lines.join('\n')}\n`)
  if (!answer.ok)
    throw new NodeTrouble('CHAOS_INJECT_ERROR', `${program} refused it: ${complaint(answer)}`)
}

export const netem: Means<NetemPlan> = {
  inject({ ip, tc, way, turn }, run) {
    batch('ip', ip, run)
    if (way === 'beside') mustBeAlone(turn.device, run)
    batch('tc', tc, run)
  },

  seen(plan, ask) {
    const { way, device, handle, turn } = plan
    const on = way === 'root' ? device : turn.device
    const found = qdiscsOf(on, ask, '-s').find(
      ({ kind, handle: h, parent }) =>
        kind === 'netem' && (h === `${handle}:` || parent === `${handle}:4`),
    )
    if (!found || !isLedTo(plan, ask)) return null
    const place = way === 'root' ? `at the root of ${device}` : `beside what ${device} has`
    return `netem ${place}, qdisc ${handle}: on ${on}; ${packetsOf(found.packets ?? 0)} so far`
  },

  revert(plan, run) {
    const { way, device, handle, turn } = plan
    if (way === 'root') {
      run(['tc', 'qdisc', 'del', 'dev', device, 'root', 'handle', `${handle}:`])
      if (hasGivenLength(plan, run)) run(lengthCommand(device))
      return
    }
    // the filters first: a packet that is sent to a device that is gone is lost
    for (const pref of prefsOf(turn))
      run(['tc', 'filter', 'del', 'dev', device, 'egress', 'pref', String(pref)])
    run(['ip', 'link', 'del', 'dev', turn.device])
    if (turn.hook && isIdleHook(device, run)) run(['tc', 'qdisc', 'del', 'dev', device, 'clsact'])
  },

  left(plan, ask): Left {
    const remaining = remains(plan, ask)
    if (remaining.length > 0) return { left: `netem is still at work on ${plan.device}`, remaining }
    const now = ask(show(plan.device)).stdout.trim()
    return {
      proof:
        now === plan.before
          ? `the queueing disciplines of ${plan.device} are as they were: ${kinds(now)}`
          : `nothing of this fault is left on ${plan.device}; somebody else has changed it meanwhile, from ${kinds(plan.before)} to ${kinds(now)}`,
    }
  },

  undo: ({ way, device, handle, turn, queueless }) =>
    way === 'root'
      ? [
          `in_net tc qdisc del dev ${device} root handle ${handle}: 2>/dev/null`,
          'shown=$(in_net tc qdisc show) || exit 1',
          `echo "$shown" | grep -q ' ${handle}: dev ${device} ' && exit 1`,
          ...(queueless ? undoLength(device) : []),
          'true',
        ]
      : [
          `for pref in ${prefsOf(turn).join(' ')}; do in_net tc filter del dev ${device} egress pref "$pref" 2>/dev/null; done`,
          `in_net ip link del dev ${turn.device} 2>/dev/null`,
          ...(turn.hook
            ? [
                `[ -n "$(in_net tc filter show dev ${device} egress; in_net tc filter show dev ${device} ingress)" ] || in_net tc qdisc del dev ${device} clsact 2>/dev/null`,
              ]
            : []),
          'links=$(in_net ip -o link show) || exit 1',
          `echo "$links" | grep -q ' ${turn.device}[:@]' && exit 1`,
          // without the device there are no filters either
          `echo "$links" | grep -q ' ${device}[:@]' || exit 0`,
          `filters=$(in_net tc filter show dev ${device} egress) || exit 1`,
          `! echo "$filters" | grep -qE ' pref (${prefsOf(turn).join('|')}) '`,
        ],
}

const undoLength = (device: string): string[] => [
  `echo "$shown" | grep -q ' 0: dev ${device} root ' || exit 0`,
  `length=$(in_net ip -o link show dev ${device}) || exit 1`,
  `echo "$length" | grep -q ' qlen ${givenLength}\\b' || exit 0`,
  `in_net ${lengthCommand(device).join(' ')} || exit 1`,
]

const kinds = (json: string): string =>
  qdiscs(json)
    .map(({ kind, handle }) => `${kind} ${handle}`)
    .join(', ') || 'none'

const trial = (script: string, look: NodeLook): string | null => {
  const answer = look.ask(['unshare', '--net', 'sh', '-c', script])
  return answer.ok ? null : complaint(answer)
}

const turnTrial = [
  'ip link add name chaostrial type ifb',
  'tc qdisc add dev lo clsact',
  `tc filter add dev lo egress pref 1 protocol all u32 ${everything} action mirred egress redirect dev chaostrial`,
].join(' && ')
const bandTrial = [
  'tc qdisc add dev lo root handle c000: prio bands 4',
  `tc filter add dev lo parent c000: pref 1 protocol all u32 ${everything} flowid c000:4`,
].join(' && ')

const bandTrouble = (look: NodeLook): string | null => trial(bandTrial, look)

/** A pod's network, and what is to be done there: at some packets of the device only when `aimed`. */
export type NetemPlace = { device: string; aimed: boolean; ask: Inside }

/** Why netem cannot be used there; null when it can. Tried in namespaces that are made for it and gone with it. */
export function netemTrouble({ device, aimed, ask }: NetemPlace, look: NodeLook): string | null {
  if (!look.hasProgram('tc')) return 'tc is not in the image of the fault pod'
  const alone = trial('tc qdisc add dev lo root netem delay 1ms', look)
  if (alone) return `the kernel needs netem (module sch_netem); tc says: ${alone}`
  if (!isDefault(qdiscs(ask(show(device)).stdout))) {
    const turn = trial(turnTrial, look)
    return turn
      ? `${device} has a queueing discipline of its own, and to leave it as it is the kernel needs the modules ifb, act_mirred, cls_u32 and sch_ingress; tc says: ${turn}`
      : null
  }
  const bands = aimed ? bandTrouble(look) : null
  return bands
    ? `to aim netem at some packets the kernel needs the modules sch_prio and cls_u32; tc says: ${bands}`
    : null
}
