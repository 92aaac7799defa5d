import type { ReceivedExecutionData } from '../../model/wire/kserver.ts'
import type { Tally } from '../store/runs.ts'

/** Weight of a fault where the document names none. */
const WEIGHT = 10

const counters = { Pass: 'passed', Fail: 'failed', Awaited: 'awaited', Stopped: 'stopped' } as const
const isCounted = (verdict: string): verdict is keyof typeof counters => verdict in counters

/** All zero: what a run shows until it is completed. */
export const noTally = (): Tally => ({
  score: 0,
  passed: 0,
  failed: 0,
  awaited: 0,
  stopped: 0,
  na: 0,
  total: 0,
})

function percentage(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  return Number.isFinite(value) ? Math.min(100, Math.max(0, value)) : 0
}

/** Counters by verdict and the weighted score, cut (not rounded) to two decimals. A fault without a result counts 0; Error is in no counter. */
export function tallyOf(data: ReceivedExecutionData): Tally {
  const tally = noTally()
  let gained = 0
  for (const { chaosData } of Object.values(data.nodes)) {
    if (!chaosData) continue
    tally.total++
    gained += WEIGHT * percentage(chaosData.probeSuccessPercentage)
    const verdict = chaosData.experimentVerdict
    if (isCounted(verdict)) tally[counters[verdict]]++
    else if (verdict !== 'Error') tally.na++
  }
  if (tally.total > 0) tally.score = Math.floor((100 * gained) / (WEIGHT * tally.total)) / 100
  return tally
}
