import { limit } from '../../lib/kube/deadline.ts'
import type { ErrorCode } from '../../model/errors.ts'
import type { ProbeOutcome, ProbePlan } from '../../model/probe.ts'
import { type Evaluation, initialDelay, tryProbe } from './evaluate.ts'
import { failed, notEvaluated, type ProbeIo, passed } from './probe-io.ts'

/** How a probe is watched. */
export type Watch = {
  /** ends the watch: chaos is over */
  signal: AbortSignal
  /** hears every evaluation */
  onOutcome(outcome: Evaluation): void
  /** the watch also ends by itself after so long, initial delay included (OnChaos: the chaos duration) */
  limitMs?: number
}

type Next = { end: ProbeOutcome } | 'again'

/**
 * Evaluates a probe again and again until `signal` ends it. Resolves with the first outcome that is not
 * passed, with null when all passed, and with an error when there was no evaluation to judge by.
 * For AbortWhen `failed` means that the condition came true; one that cannot be evaluated is told to
 * `onOutcome` and tried again, because an abort condition must stay on guard.
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
      const outcome = polarity(probe, await tryProbe(probe, io, over.signal))
      watch.onOutcome(outcome)
      last = outcome
      judged ||= outcome.outcome !== 'error'
      const next = nextOf(probe, outcome)
      if (next !== 'again') return next.end
      await io.clock.sleep(probe.run.pollingMs, over.signal)
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

function nextOf(probe: ProbePlan, { tries: _, ...outcome }: Evaluation): Next {
  if (outcome.outcome === 'passed') return 'again'
  // what can never be evaluated will not be guarded by trying again
  if (probe.mode === 'AbortWhen' && outcome.outcome === 'error' && _ > 0) return 'again'
  return { end: outcome }
}

const failures: Record<ProbePlan['type'], ErrorCode> = {
  httpProbe: 'HTTP_PROBE_FAILURE',
  cmdProbe: 'CMD_PROBE_FAILURE',
  k8sProbe: 'K8S_PROBE_FAILURE',
}

/** An abort condition describes the bad state: that it holds is the failure. */
function polarity(probe: ProbePlan, evaluation: Evaluation): Evaluation {
  if (probe.mode !== 'AbortWhen' || evaluation.outcome === 'error') return evaluation
  const { tries, detail } = evaluation
  if (evaluation.outcome === 'failed') return { ...passed(`not true: ${detail}`), tries }
  const reason = `The abort condition ${probe.name} is true: ${detail}.`
  return { ...failed({ code: failures[probe.type], reason }), tries }
}

const neverEvaluated = (probe: ProbePlan): ProbeOutcome =>
  notEvaluated({
    code: 'PROBE_TIMEOUT',
    reason: `The probe ${probe.name} was not evaluated before its time was over; give it a shorter initialDelay and probeTimeout, or the fault a longer duration.`,
  })
