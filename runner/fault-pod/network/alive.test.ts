import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Answer, Command } from '../../faults/node-fault.ts'
import { Hands } from '../hands.ts'
import { cannotNetwork, PosedNetwork } from '../testing/network.ts'
import { asking, type MeansPlan, type NetworkPlan, nameFor, networkActs } from './acts.ts'
import { cutTable } from './cut.ts'
import { planIptables } from './iptables.ts'
import type { Matches } from './matches.ts'
import { podNetwork } from './namespace.ts'
import { planNetem } from './netem.ts'
import { chainLines, egressTable, lose } from './ruleset.ts'

const why = cannotNetwork()
const matches: Matches = {
  spared: [{ ports: { protocol: 'tcp', side: 'dport', list: ['22'] } }],
  wanted: [{ to: { family: 4, address: '10.9.0.2' } }, { to: { family: 6, address: 'fd09::2' } }],
}

/** A kernel that has a netem and a prio, by what stands in for them: for who looks at what leads there they are the same. */
class StandIns extends Hands {
  override ask(command: Command, input?: string): Answer {
    const answer = super.ask(command, input)
    if (!command.includes('qdisc')) return answer
    return { ...answer, stdout: answer.stdout.replaceAll('"pfifo"', '"netem"') }
  }
}
const hands = new StandIns('', process.env, [process.pid])
const target = (pod: PosedNetwork) => pod.target('run/task/0')

const onNft = (pod: PosedNetwork): MeansPlan => {
  const table = nameFor(target(pod))
  const ruleset = egressTable(table, 'eth0', chainLines(matches, lose))
  return { means: 'nft', family: 'netdev', table, ruleset }
}

const byCut = (pod: PosedNetwork): MeansPlan => {
  const table = nameFor(target(pod))
  const cut = {
    directions: ['egress'] as const,
    destinations: matches.wanted.flatMap(({ to }) => (to ? [{ ...to, ports: [] }] : [])),
    ports: [],
    spared: [{ family: 4, address: '10.9.0.9' }] as const,
    servers: ['8080'],
    outgoing: '32768-60999',
  }
  const ruleset = cutTable(table, { family: 'inet' }, cut)
  return { means: 'nft', family: 'inet', table, ruleset }
}

const byIptables =
  (make: 'nft' | 'legacy') =>
  (pod: PosedNetwork): MeansPlan => {
    const asked = { make, chain: nameFor(target(pod)), device: 'eth0', percent: 50, matches }
    return planIptables(target(pod), asked, { ask: asking(pod.pid, hands), look: hands })
  }

const byNetem = (pod: PosedNetwork): MeansPlan => {
  const asked = { device: 'eth0', matches, netem: 'delay 1ms' }
  const plan = planNetem(target(pod), asked, { ask: asking(pod.pid, hands), look: hands })
  const tc = plan.tc.flatMap((line) => {
    if (!line.includes(' prio ')) return line.replace(/ netem .*/, ' pfifo')
    const band = `class add dev eth0 parent ${plan.handle}: classid ${plan.handle}:4 htb rate 1gbit quantum 1500`
    return [line.replace(/ prio .*/, ' htb'), band]
  })
  return { ...plan, tc }
}

type Pose = { before?: string; plan: (pod: PosedNetwork) => MeansPlan; removals: string[] }
const flushes = (make: string) => [
  `iptables-${make} -t mangle -F`,
  `ip6tables-${make} -t mangle -F`,
  `iptables-${make} -t mangle -F POSTROUTING`,
  `iptables-${make} -t mangle -F NAME`,
]
const poses: Record<string, Pose> = {
  'nftables at the egress hook': {
    plan: onNft,
    removals: [
      'nft flush ruleset',
      'nft flush table netdev NAME',
      'nft flush chain netdev NAME egress',
    ],
  },
  'nftables, family inet': {
    plan: byCut,
    removals: ['nft flush table inet NAME', 'nft flush chain inet NAME out'],
  },
  'iptables-nft': { plan: byIptables('nft'), removals: flushes('nft') },
  'iptables-legacy': { plan: byIptables('legacy'), removals: flushes('legacy') },
  'netem at the root': {
    plan: byNetem,
    removals: ['tc filter del dev eth0', 'tc qdisc del dev eth0 root'],
  },
  'netem beside the root': {
    before: 'tc qdisc add dev eth0 root handle 8001: tbf rate 10mbit burst 16kb latency 200ms',
    plan: byNetem,
    removals: [
      'tc filter del dev eth0 egress',
      'tc qdisc del dev eth0 clsact',
      'tc filter del dev eth0 egress pref PREF',
      'ip link del dev TURN',
    ],
  },
}

describe.skipIf(why !== '')(`what somebody else removes${why && ` (skipped: ${why})`}`, () => {
  let pod: PosedNetwork
  let peer: PosedNetwork

  beforeEach(async () => {
    ;[pod, peer] = await Promise.all([PosedNetwork.make(), PosedNetwork.make()])
    pod.cable(peer, 'eth0', { mine: ['10.9.0.1/24', 'fd09::1/64'], theirs: [] })
  })
  afterEach(() => {
    for (const one of [pod, peer]) one?.end()
  })

  /** What is said of it within as many rounds as a hold makes in three seconds. */
  function saidOf(plan: NetworkPlan): string | null {
    const effect = { evidence: '', sound: 1 as const }
    const said = Array.from({ length: 15 }, () => networkActs.alive(plan, effect, hands))
    return said.find((one) => one !== null) ?? null
  }

  function words(command: string, { by }: NetworkPlan): string {
    const name = by.means === 'nft' ? by.table : by.means === 'iptables' ? by.chain : ''
    const turn = by.means === 'netem' ? by.turn : { device: '', pref: 0 }
    const values = { NAME: name, TURN: turn.device, PREF: String(turn.pref) }
    return Object.entries(values).reduce((text, [key, value]) => text.replace(key, value), command)
  }

  const cases = Object.entries(poses).flatMap(([name, { removals, ...pose }]) =>
    removals.map((removal) => ({ name, removal, ...pose })),
  )

  it.each(cases)('of $name is missed: $removal', ({ before, plan: planned, removal }) => {
    if (before) pod.run(before)
    const network = podNetwork(target(pod), hands)
    const by = planned(pod)
    const plan: NetworkPlan = JSON.parse(JSON.stringify({ network, what: 'eth0 loses', by }))
    networkActs.inject(plan, hands)
    expect(networkActs.verify(plan, hands)?.evidence).toContain('so far')
    expect(saidOf(plan)).toBeNull()
    pod.run(words(removal, plan))
    expect(saidOf(plan)).toMatch(/somebody has removed it/)
    networkActs.revert(plan, hands)
    expect(networkActs.proof(plan, hands)).toHaveProperty('proof')
  })
})
