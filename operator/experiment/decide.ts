import { isDeepStrictEqual } from 'node:util'
import { stampConditions } from '../../model/conditions.ts'
import { conditionsOf, isAbandoned, isOver, momentOf, patienceMs } from './conditions.ts'
import { happeningsOf, type Told, toldKey } from './happenings.ts'
import type { ExperimentStatus, Memory, Seen } from './observe.ts'

/** The whole set of fields that the operator owns. */
export type OwnStatus = Omit<ExperimentStatus, 'run'>

/** What one pass does. */
export type Decision = {
  /** undefined: nothing to write now */
  status: OwnStatus | undefined
  /** what is new was not written yet: since when */
  dirtySince: number | undefined
  tell: Told[]
  /** look again after this, even when nothing changes */
  againMs: number | undefined
}

/** A new phase or condition waits so long for company, so that one write carries both. */
export const soonMs = 300
/** Figures alone are written this often at most. */
export const laterMs = 5_000
/** A run under way is looked at this often: its runner may have gone without a word. */
export const lookMs = 5_000

/** All that follows from what was seen: pure. */
export function decide(seen: Seen, memory: Memory): Decision {
  const status = statusOf(seen)
  const moment = momentOf(seen)
  const waitMs = waitBeforeWrite(seen, memory, status)
  const told = memory.toldOf === (seen.run?.runId ?? '') ? memory.told : new Set<string>()
  return {
    status: waitMs === 0 ? status : undefined,
    dirtySince: waitMs === undefined || waitMs === 0 ? undefined : (memory.dirtySince ?? seen.now),
    tell: happeningsOf(seen).filter((one) => !told.has(toldKey(one))),
    againMs: nearest(waitMs === 0 ? undefined : waitMs, nextLook(seen, isOver(moment))),
  }
}

/** The fields that we own, as they should be. */
export function statusOf(seen: Seen): OwnStatus {
  const { object, run, judged, before, now } = seen
  const generation = object.metadata.generation ?? 1
  const conditions = stampConditions(conditionsOf(seen), {
    before: before.conditions ?? [],
    generation: run?.generation ?? generation,
    now: run?.finishedAt ?? now,
  })
  return { ...judged, observedGeneration: run?.generation ?? generation, conditions }
}

/** 0: write now; undefined: nothing to write; else how long it may wait for company. */
function waitBeforeWrite(seen: Seen, memory: Memory, status: OwnStatus): number | undefined {
  const { before, now } = seen
  const { run: _, ...own } = before
  if (isDeepStrictEqual(plain(own), plain(status))) return undefined
  if (isOver(momentOf(seen))) return 0
  const since = memory.dirtySince ?? now
  if (isNews(own, status)) return Math.max(0, since + soonMs - now)
  return Math.max(0, Math.max(since, memory.writtenAt ?? 0) + laterMs - now)
}

/** undefined and absent are the same on the wire. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** True when a phase or a condition is other than it was, not only a figure. */
function isNews(before: OwnStatus, status: OwnStatus): boolean {
  const words = ({ phase, verdict, experimentRunId, conditions = [] }: OwnStatus) => [
    phase,
    verdict,
    experimentRunId,
    conditions.map((c) => [c.type, c.status, c.reason]),
  ]
  return !isDeepStrictEqual(words(before), words(status))
}

function nextLook(seen: Seen, over: boolean): number | undefined {
  if (seen.unclaimedForMs !== null)
    return seen.unclaimedForMs < patienceMs ? patienceMs - seen.unclaimedForMs : undefined
  if (seen.runner === null || (over && isAbandoned(seen))) return undefined
  return lookMs
}

function nearest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b
  return b === undefined ? a : Math.min(a, b)
}
