import { type Limited, limit } from '../../lib/kube/deadline.ts'
import { troubleOf } from '../../model/errors.ts'
import type { ProbeOutcome, ProbePlan } from '../../model/probe.ts'
import { commandProbe } from './command/index.ts'
import { httpProbe } from './http/index.ts'
import { k8sProbe } from './k8s/index.ts'
import { notEvaluated, type ProbeIo, type ProbeKind, type TryLimit } from './probe-io.ts'

/** One evaluation and how many tries it took; 0 when the probe could not be tried at all. */
export type Evaluation = ProbeOutcome & { tries: number }

type Errors = 'HTTP_PROBE_ERROR' | 'CMD_PROBE_ERROR' | 'K8S_PROBE_ERROR'
const errorCodes: Record<ProbePlan['type'], Errors> = {
  httpProbe: 'HTTP_PROBE_ERROR',
  cmdProbe: 'CMD_PROBE_ERROR',
  k8sProbe: 'K8S_PROBE_ERROR',
}

/** A probe with its type's functions bound to its inputs. */
type Bound = {
  refusal: ProbeOutcome | null
  prepare(signal: AbortSignal): Promise<void>
  once(limit: TryLimit): Promise<ProbeOutcome>
  tooLate(timeoutMs: number): ProbeOutcome
}

function bind<I, R>(kind: ProbeKind<I, R>, inputs: I, io: ProbeIo): Bound {
  const trouble = kind.refuse(inputs)
  return {
    refusal: trouble ? notEvaluated(trouble) : null,
    prepare: async (signal) => await kind.prepare?.(inputs, io, signal),
    once: async (tryLimit) => kind.assess(await kind.sample(inputs, io, tryLimit), inputs),
    tooLate: (timeoutMs) => kind.tooLate(inputs, timeoutMs),
  }
}

function boundOf(probe: ProbePlan, io: ProbeIo): Bound {
  switch (probe.type) {
    case 'httpProbe':
      return bind(httpProbe, probe.inputs, io)
    case 'cmdProbe':
      return bind(commandProbe, probe.inputs, io)
    case 'k8sProbe':
      return bind(k8sProbe, probe.inputs, io)
  }
}

/**
 * One evaluation of a phase: the initial delay, then up to `attempts` tries until one passes.
 * Rejects only with the signal's reason.
 */
export async function evaluateProbe(
  probe: ProbePlan,
  io: ProbeIo,
  signal: AbortSignal,
): Promise<Evaluation> {
  const { refusal } = boundOf(probe, io)
  if (refusal) return { ...refusal, tries: 0 }
  await initialDelay(probe, io, signal)
  return await tryProbe(probe, io, signal)
}

/** Waits as long as the probe wants before the first evaluation of a phase. */
export async function initialDelay(
  probe: ProbePlan,
  io: ProbeIo,
  signal: AbortSignal,
): Promise<void> {
  if (probe.run.initialDelayMs > 0) await io.clock.sleep(probe.run.initialDelayMs, signal)
}

/** One evaluation without the initial delay. */
export async function tryProbe(
  probe: ProbePlan,
  io: ProbeIo,
  signal: AbortSignal,
): Promise<Evaluation> {
  const bound = boundOf(probe, io)
  if (bound.refusal) return { ...bound.refusal, tries: 0 }
  const attempts = Math.max(1, probe.run.attempts)
  for (let tries = 1; ; tries++) {
    const outcome = await oneTry(probe, bound, signal)
    io.onTry?.(outcome, tries)
    if (outcome.outcome === 'passed' || tries >= attempts) return { ...outcome, tries }
    await io.clock.sleep(probe.run.intervalMs, signal)
  }
}

async function oneTry(probe: ProbePlan, bound: Bound, signal: AbortSignal): Promise<ProbeOutcome> {
  const { timeoutMs } = probe.run
  signal.throwIfAborted()
  let limited: Limited | undefined
  try {
    await bound.prepare(signal)
    limited = limit(signal, timeoutMs, () => new Error(`no reading within ${timeoutMs} ms`))
    return await bound.once({ timeoutMs, signal: limited.signal })
  } catch (thrown) {
    signal.throwIfAborted()
    if (limited?.expired()) return bound.tooLate(timeoutMs)
    return notEvaluated(troubleOf(thrown, errorCodes[probe.type]))
  } finally {
    limited?.end()
  }
}
