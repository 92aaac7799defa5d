import { reach } from '../../lib/crash.ts'
import type { NodeEvent } from '../../model/fault-pod.ts'
import type { Proven } from '../faults/node-fault.ts'
import type { Channel } from './channel.ts'
import type { Hands } from './hands.ts'
import { type AnyNodeFault, isClean, revertUntilProven } from './hold.ts'
import { bootId, bootMs } from './host.ts'
import type { Journal, OpenGo, Planned } from './journal.ts'

const terminal = new Set<NodeEvent['event']>(['reverted', 'refused', 'inject-failed'])
const acts = new Set<NodeEvent['event']>([
  'injected',
  'inject-failed',
  'lost',
  'reverted',
  'revert-failed',
])

export const noRecord =
  'the node keeps no record of it any more: a record goes only when everything is put back, or with the disk of the node'

/** What earlier programs of this journal did, as their events tell. */
export type Past = {
  /** targets about which everything is said */
  settled: Set<string>
  /** targets that are being put back: whatever else is asked, that is what is said of them */
  sweeping: Set<string>
  /** whether anything was ever done to a target: then nothing starts by itself again */
  acted: boolean
}

/** Reads the past out of the journal's events and undo files. */
export function pastOf(events: readonly NodeEvent[], open: readonly OpenGo[]): Past {
  const settled = new Set<string>()
  for (const event of events)
    if ('target' in event && terminal.has(event.event)) settled.add(event.target)
  const planned = open.flatMap((go) => go.planned.map(({ found }) => found.id))
  const sweeping = new Set(planned.filter((id) => !settled.has(id)))
  return {
    settled,
    sweeping,
    acted: open.length > 0 || events.some(({ event }) => acts.has(event)),
  }
}

/** Whether anything was ever told to have been done to it. */
export const hasActedOn = (target: string, events: readonly NodeEvent[]): boolean =>
  events.some((event) => acts.has(event.event) && 'target' in event && event.target === target)

type World = {
  journal: Journal
  channel: Channel
  hands: Hands
  faultOf(id: string): AnyNodeFault | undefined
  now(): number
  monotonic(): number
}

/** Reverts everything that an earlier program left open, before anything else is done. */
export async function sweepOwn(world: World, past: Past): Promise<void> {
  await Promise.all(
    world.journal.openGos().map(async (go) => {
      const fault = world.faultOf(go.fault)
      if (!fault) return unknownFault(world, go)
      const open = go.planned.filter(({ found }) => !past.settled.has(found.id))
      await Promise.all(
        open.map(async (planned) => {
          await sweepTarget({ ...world, fault }, go, planned)
          past.settled.add(planned.found.id)
          past.sweeping.delete(planned.found.id)
        }),
      )
      CRASH: reach('program/sweep-reported')
      world.journal.done(go.file)
    }),
  )
}

/** Written by another version of the program: its undo file still runs. */
function unknownFault({ journal, channel }: World, { file, fault, planned }: OpenGo): void {
  const reason = `This image does not know the fault ${fault} that ${file} undoes.`
  for (const { found } of planned)
    channel.emit({
      event: 'revert-failed',
      target: found.id,
      reason,
      remaining: [`sh ${journal.dir}/${file}`],
    })
}

async function sweepTarget(
  world: World & { fault: AnyNodeFault },
  go: OpenGo,
  planned: Planned,
): Promise<void> {
  const { channel, journal, hands, fault, now, monotonic } = world
  const target = planned.found.id
  const note = () => journal.guardNotes().find(({ file }) => file === go.file)
  const injected = toldOf(journal, 'injected', target)
  const foundClean = isClean(fault, planned.plan, hands)
  // a guard that did not live to note the end of its undo
  const begun = foundClean
    ? journal.guardBeginnings().find(({ file }) => file === go.file)
    : undefined
  const emit = (event: Parameters<Channel['emit']>[0]) => void channel.emit(event)
  CRASH: reach('program/sweeping')
  const hasBooted = planned.found.bootId !== bootId()
  const proven: Proven = hasBooted
    ? { proof: 'the node has booted since: no process of that time is left', gone: true }
    : await revertUntilProven({ fault, hands, emit, monotonic }, planned)
  CRASH: reach('program/sweep-proven')
  if (!injected) {
    // Nobody told whether and when it was hit; not before the go, whose moment its undo file bears.
    const end = note()?.at ?? (hasBooted ? now() - bootMs() : now())
    const heldMs = Math.max(0, Math.round(end - begunAt(go)))
    const held = `The target may have been hit, for up to ${(heldMs / 1000).toFixed(1)} s.`
    const reason = hasBooted
      ? `Whether it was injected is not on record: ${proven.proof}. ${held}`
      : `The fault program was ended while it injected. ${held} It was put back: ${proven.proof}.`
    const gone = proven.gone ? { gone: true as const } : {}
    const code = 'CHAOS_INJECT_ERROR'
    channel.emit({ event: 'inject-failed', target, code, reason, heldMs, ...gone })
    return
  }
  const lost = toldOf(journal, 'lost', target)
  const byGuard = note() ?? begun
  // what was clean already when we came, and no guard had begun with, ended at its own limit, if not before
  const ended = byGuard?.at ?? (foundClean ? Math.min(now(), injected.endsAt) : now())
  const bootedAt = now() - bootMs()
  const wentDown = hasBooted && ended > bootedAt
  // a boot ends whatever there was, and what a guard has noted after it was nothing
  const end = wentDown ? Math.min(bootedAt, injected.endsAt) : ended
  const heldMs = lost?.heldMs ?? Math.max(0, Math.round(end - injected.at))
  const who = byGuard ? 'the guard' : 'the next one'
  const reason = wentDown
    ? 'the node went down while the fault was held, and has booted since'
    : `the fault program was ended from outside; ${who} undid its injection`
  if (!lost) channel.emit({ event: 'lost', target, heldMs, reason })
  CRASH: reach('program/sweep-lost')
  channel.emit({ event: 'reverted', target, why: 'guard', heldMs, ...proven })
}

/** When the targets of a go were about to be hit, unix milliseconds. */
const begunAt = ({ file }: OpenGo): number => Number(/^go-(\d+)\.sh$/.exec(file)?.[1] ?? 0)

/** What an earlier program said of a target last. */
function toldOf<Kind extends NodeEvent['event']>(
  { earlier }: Journal,
  kind: Kind,
  target: string,
): Extract<NodeEvent, { event: Kind }> | undefined {
  const found = earlier.findLast(
    (event) => event.event === kind && 'target' in event && event.target === target,
  )
  return found as Extract<NodeEvent, { event: Kind }> | undefined
}
