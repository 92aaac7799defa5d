import type { ReceivedExecutionData } from '../../model/wire/kserver.ts'

/** A state of a run, with what orders it against other states of the same run. */
export type Reported = { completed: boolean; data: ReceivedExecutionData }

const begun = (phase: string): number =>
  phase === '' || phase === 'Pending' || phase === 'Queued' ? 0 : phase === 'Running' ? 1 : 2

/** Nodes only move forward, so this never falls within a run, whichever clock stamped it. */
function progress(data: ReceivedExecutionData): number {
  let sum = 0
  for (const node of Object.values(data.nodes)) sum += begun(node.phase)
  return sum
}

function stamp(data: ReceivedExecutionData): number {
  let latest = 0
  for (const node of Object.values(data.nodes))
    for (const time of [node.startedAt, node.finishedAt, node.chaosData?.lastUpdatedAt ?? ''])
      latest = Math.max(latest, Number(time) || 0)
  return latest
}

/** True when `next` may take the place of `known`: a repeated or late delivery never undoes what came after it. */
export function mayReplace(known: Reported, next: Reported): boolean {
  if (known.completed !== next.completed) return next.completed
  const forward = progress(next.data) - progress(known.data)
  if (forward !== 0) return forward > 0
  if (known.data.eventType !== 'CREATE' && next.data.eventType === 'CREATE') return false
  return stamp(next.data) >= stamp(known.data)
}
