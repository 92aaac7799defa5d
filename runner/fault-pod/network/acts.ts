import { createHash } from 'node:crypto'
import {
  type Effect,
  type FoundTarget,
  type NodeFault,
  type NodeHands,
  type NodeLook,
  NodeTrouble,
} from '../../faults/node-fault.ts'
import { type IptablesPlan, iptables } from './iptables.ts'
import type { Inside, Means } from './means.ts'
import { type Door, doorOf, enterByShell, inNetwork, type PodNetwork } from './namespace.ts'
import { type NetemPlan, netem } from './netem.ts'
import { type TablePlan, table } from './ruleset.ts'

export type MeansPlan = TablePlan | NetemPlan | IptablesPlan

/** A fault on the packets of one pod; `what` says what becomes of which packets. JSON. */
export type NetworkPlan = { network: PodNetwork; what: string; by: MeansPlan }

const all = { nft: table, netem, iptables }
const meansOf = ({ means }: MeansPlan) => all[means] as Means<MeansPlan>

/** A name for what we put into the pod's network: nobody else has it, and every injection has another one. */
export const nameFor = ({ mark }: FoundTarget): string =>
  `chaosplane_${createHash('sha256').update(mark).digest('hex').slice(0, 12)}`

/** Reads in the network of a pod. */
export const asking =
  (place: Door | number, look: NodeLook): Inside =>
  (command, input) =>
    look.ask(inNetwork(place, command), input)

const running =
  (door: Door, hands: NodeHands): Inside =>
  (command, input) =>
    hands.run(inNetwork(door, command), input)

/** A look at the rules costs a process: every fifteenth round of looking after the target is enough. */
const roundsBetweenLooks = 15
const rounds = new WeakMap<Effect, number>()

function isDue(effect: Effect): boolean {
  const round = (rounds.get(effect) ?? 0) + 1
  rounds.set(effect, round % roundsBetweenLooks)
  return round === roundsBetweenLooks
}

/** What is seen of it; null: it is not there; undefined: it cannot be seen now. */
function seenOf({ network, by }: NetworkPlan, look: NodeLook): string | null | undefined {
  const door = doorOf(network, look)
  if (door === null) return null
  try {
    return meansOf(by).seen(by, asking(door, look), look)
  } catch (thrown) {
    if (thrown instanceof NodeTrouble) return undefined
    throw thrown
  }
}

type Acts = Pick<
  NodeFault<unknown, NetworkPlan>,
  'outlivesContainers' | 'inject' | 'verify' | 'alive' | 'revert' | 'proof' | 'undo'
>

/** What all network faults do with their plan. */
export const networkActs: Acts = {
  // the pod's network belongs to its sandbox
  outlivesContainers: true,

  inject({ network, by }, hands) {
    const door = doorOf(network, hands)
    if (door === null) throw new NodeTrouble('CHAOS_INJECT_ERROR', 'The pod has ended.')
    meansOf(by).inject(by, running(door, hands), hands)
  },

  verify(plan, look) {
    const seen = seenOf(plan, look)
    return typeof seen === 'string' ? { evidence: `${plan.what}: ${seen}`, sound: 1 } : null
  },

  alive(plan, effect, look) {
    const ended = 'the pod has ended, and its network with it'
    if (doorOf(plan.network, look) === null) return ended
    if (!isDue(effect) || seenOf(plan, look) !== null) return null
    return doorOf(plan.network, look) === null
      ? ended
      : "somebody has removed it from the pod's network"
  },

  revert({ network, by }, hands) {
    const door = doorOf(network, hands)
    if (door !== null) meansOf(by).revert(by, running(door, hands), hands)
  },

  proof({ network, by }, look) {
    const door = doorOf(network, look)
    if (door === null) return { proof: "the pod's network namespace no longer exists", gone: true }
    const left = meansOf(by).left(by, asking(door, look), look)
    if ('proof' in left) return left
    const enter = inNetwork(door, ['']).slice(0, -1).join(' ')
    return { ...left, remaining: left.remaining.map((command) => `${enter} ${command}`) }
  },

  undo: ({ network, by }) => [...enterByShell(network.netns), ...meansOf(by).undo(by)],
}
