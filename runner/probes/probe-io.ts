import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import type { Trouble } from '../../model/errors.ts'
import type { CommandInputs, HttpInputs, ProbeOutcome } from '../../model/probe.ts'

/** What became of one HTTP request. `unreachable`: no answer, `why` in words. */
export type HttpReading =
  | { kind: 'answer'; status: number; body: string; cut: boolean; tookMs: number }
  | { kind: 'unreachable'; why: string }
  | { kind: 'impossible'; why: string }

/** What became of one command. `impossible`: it could not be run, which says nothing about the service. */
export type CommandReading =
  | { kind: 'ended'; exitCode: number; stdout: string; stderr: string; cut: boolean }
  | { kind: 'too-late' }
  | { kind: 'impossible'; why: string }

/** One HTTP request as a probe describes it. */
export type HttpSampler = (inputs: HttpInputs, signal: AbortSignal) => Promise<HttpReading>

/** Runs the commands of one task's cmd probes. */
export type CommandRunner = {
  /** starts what the commands need, without waiting for it */
  warm(inputs: readonly CommandInputs[]): void
  /** ready to run `inputs`; rejects with the reason when it cannot be */
  prepare(inputs: CommandInputs, signal: AbortSignal): Promise<void>
  run(
    inputs: CommandInputs,
    limit: { timeoutMs: number; signal: AbortSignal },
  ): Promise<CommandReading>
  /** removes what was started; may be called more than once */
  close(signal: AbortSignal): Promise<void>
}

/** The world as probes see it. */
export type ProbeIo = {
  http: HttpSampler
  kube: Pick<KubeClient, 'get' | 'find'>
  /** user that reads of k8s probes impersonate: `system:serviceaccount:<namespace>:<name>` */
  as: string | undefined
  commands: CommandRunner
  clock: Clock
  /** hears every try of every evaluation, for verbosity debug */
  onTry?(outcome: ProbeOutcome, tries: number): void
}

/** One type of probe: looking (`sample`) is apart from judging (`assess`). */
export type ProbeKind<Inputs, Reading> = {
  /** why these inputs can never be evaluated; null: they can */
  refuse(inputs: Inputs): Trouble | null
  /** brings about what the first try needs; its time does not count against the try */
  prepare?(inputs: Inputs, io: ProbeIo, signal: AbortSignal): Promise<void>
  sample(inputs: Inputs, io: ProbeIo, limit: TryLimit): Promise<Reading>
  assess(reading: Reading, inputs: Inputs): ProbeOutcome
  /** the outcome when a try had no reading in time */
  tooLate(inputs: Inputs, timeoutMs: number): ProbeOutcome
}

/** `signal` fires when the try's time is over or the whole evaluation is called off. */
export type TryLimit = { timeoutMs: number; signal: AbortSignal }

export const passed = (detail: string): ProbeOutcome => ({ outcome: 'passed', detail })
export const failed = (trouble: Trouble): ProbeOutcome => ({
  outcome: 'failed',
  detail: trouble.reason,
  trouble,
})
export const notEvaluated = (trouble: Trouble): ProbeOutcome => ({
  outcome: 'error',
  detail: trouble.reason,
  trouble,
})
