import type { NodeEvent } from '../../model/fault-pod.ts'
import type { Channel } from './channel.ts'
import type { Hands } from './hands.ts'
import { type AnyNodeFault, revertUntilProven } from './hold.ts'
import { bootId } from './host.ts'
import type { Journal, OpenGo, Planned } from './journal.ts'

const terminal = new Set<NodeEvent['event']>(['reverted', 'refused', 'inject-failed'])
const acts = new Set<NodeEvent['event']>([
  'injected',
  'inject-failed',
  'lost',
  'reverted',
  'revert-failed',
])

/** What earlier programs of this journal did, as their events tell. */
export type Past = {
  /** targets about which everything is said */
  settled: Set<string>
  /** whether anything was ever done to a target: then nothing starts by itself again */
  acted: boolean
}

/** Reads the past out of the journal's events and undo files. */
export function pastOf(events: readonly NodeEvent[], open: readonly OpenGo[]): Past {
  const settled = new Set<string>()
  for (const event of events)
    if ('target' in event && terminal.has(event.event)) settled.add(event.target)
  return { settled, acted: open.length > 0 || events.some(({ event }) => acts.has(event)) }
}

type World = {
  journal: Journal
  channel: Channel
  hands: Hands
  fault: AnyNodeFault
  now(): number
  monotonic(): number
}

/** Reverts everything that an earlier program left open, before anything else is done. */
export async function sweepOwn(world: World, past: Past): Promise<void> {
  for (const go of world.journal.openGos()) {
    const open = go.planned.filter(({ found }) => !past.settled.has(found.id))
    await Promise.all(open.map((planned) => sweepTarget(world, go, planned)))
    for (const { found } of go.planned) past.settled.add(found.id)
    world.journal.done(go.file)
  }
}

async function sweepTarget(world: World, go: OpenGo, planned: Planned): Promise<void> {
  const { channel, journal, hands, fault, now, monotonic } = world
  const target = planned.found.id
  const note = () => journal.guardNotes().find(({ file }) => file === go.file)
  const told = (kind: NodeEvent['event']) =>
    journal.earlier.find(
      (event) => event.event === kind && 'target' in event && event.target === target,
    )
  const injected = told('injected')
  const proof =
    planned.found.bootId === bootId()
      ? await revertUntilProven(
          { fault, hands, emit: (event) => channel.emit(event), now, monotonic, guardNote: note },
          planned,
        )
      : 'the node has booted since: no process of that time is left'
  if (!injected) {
    const reason = `The fault program was ended while it injected. It was put back: ${proof}.`
    channel.emit({ event: 'inject-failed', target, code: 'CHAOS_INJECT_ERROR', reason })
    return
  }
  const heldMs = Math.max(0, (note()?.at ?? now()) - injected.at)
  const reason = note()
    ? 'the fault program was ended from outside; the guard undid its injection'
    : 'the fault program was ended from outside; the next one undid its injection'
  if (!told('lost')) channel.emit({ event: 'lost', target, heldMs, reason })
  channel.emit({ event: 'reverted', target, why: 'guard', heldMs, proof })
}
