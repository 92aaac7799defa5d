import { limit } from '../../lib/kube/deadline.ts'
import type { ProbeOutcome, ProbePlan } from '../../model/probe.ts'
import { type Evaluation, initialDelay, tryProbe } from './evaluate.ts'
import { notEvaluated, type ProbeIo } from './probe-io.ts'

/** How a probe is watched. */
export type Watch = {
  /** ends the watch: chaos is over */
  signal: AbortSignal
  /** hears every evaluation */
  onOutcome(outcome: Evaluation): void
  /** the watch also ends by itself after so long, initial delay included (OnChaos: the chaos duration) */
  limitMs?: number
}

/** A probe without a pause must not become a load test. */
const minPollingMs = 100

/**
 * Evaluates a probe again and again until `signal` ends it. Resolves with the first outcome that is not
 * passed, with null when all passed, and with an error when there was no evaluation to judge by.
 * AbortWhen is the other way round: it describes the bad state, so it resolves with `passed` when that came
 * true. One that cannot be evaluated is told to `onOutcome` and tried again: it must stay on guard.
 */
export async function watchProbe(
  probe: ProbePlan,
  io: ProbeIo,
  watch: Watch,
): Promise<ProbeOutcome | null> {
  const over = limit(watch.signal, watch.limitMs ?? maxTimerMs, () => new Error('time is over'))
  let last: ProbeOutcome | undefined
  let judged = false
  try {
    await initialDelay(probe, io, over.signal)
    for (;;) {
      const outcome = await tryProbe(probe, io, over.signal)
      watch.onOutcome(outcome)
      last = outcome
      judged ||= outcome.outcome !== 'error'
      if (isEnd(probe, outcome)) return outcome
      await io.clock.sleep(Math.max(minPollingMs, probe.run.pollingMs), over.signal)
    }
  } catch (thrown) {
    if (!over.signal.aborted) throw thrown
    return judged ? null : (last ?? neverEvaluated(probe))
  } finally {
    over.end()
  }
}

/** The longest that a timer of Node can wait: 24 days. */
const maxTimerMs = 2 ** 31 - 1

function isEnd({ mode }: ProbePlan, { outcome, tries }: Evaluation): boolean {
  if (mode !== 'AbortWhen') return outcome !== 'passed'
  // 0 tries: its inputs are wrong, and will be next time
  return outcome === 'passed' || (outcome === 'error' && tries === 0)
}

const neverEvaluated = (probe: ProbePlan): ProbeOutcome =>
  notEvaluated({
    code: 'PROBE_TIMEOUT',
    reason: `The probe ${probe.name} was not evaluated before its time was over; give it a shorter initialDelay and probeTimeout, or the fault a longer duration.`,
  })
