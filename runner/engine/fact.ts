import type { Trouble } from '../../model/errors.ts'
import type { HoldEnd } from '../../model/fault-pod.ts'
import type { ProbeState, Stage, TargetOutcome, TargetState } from '../../model/state.ts'

export type ProbePhase = 'pre' | 'during' | 'post'

/**
 * Something that happened, with its moment in unix milliseconds. Facts of one source arrive in order and may arrive
 * twice. `target` is the key of a record, `pod` the fault pod that said it. `wave`: the record of that wave alone; what
 * is struck in a later one may have the same name, and so the same key.
 */
export type Fact = {
  at: number
  pod?: string
} /** `rollback`: an abort condition asked for the normal end, early */ & (
  | { fact: 'aborted'; by: string; rollback?: boolean }
  /** the probes of every task are known */
  | { fact: 'resolved'; probes: Record<string, ProbeState[]>; notes: string[]; notifyId: string }
  /** `goesOn`: tasks that cannot be paused; `held`: by task, the records that the pause ends */
  | { fact: 'paused'; by: string; goesOn: string[]; held: Record<string, string[]> }
  | { fact: 'resumed'; by: string }
  | { fact: 'adopted'; runner: string; instance: string }
  /** the API server does not take the record of the run: nothing more is begun */
  | { fact: 'unrecorded'; why: string }
  /** the document is another one than that of the run, which its runner alone knew: nothing more is begun */
  | { fact: 'edited'; why: string }
  /** what is owed is given up, in the words of who decided it */
  | { fact: 'abandoned'; reason: string }
  | { fact: 'moved'; task: string; to: Stage }
  /** pre-chaos checks passed and, where targets are chosen beforehand, `targets` holds them */
  | { fact: 'prepared'; task: string; targets: TargetState[] }
  | { fact: 'prepare-failed'; task: string; trouble: Trouble; fatal: boolean }
  | {
      fact: 'probed'
      task: string
      probe: string
      phase: ProbePhase
      outcome: 'passed' | 'failed' | 'error'
      detail: string
      evaluations: number
      /** false: one reading of a loop that goes on */
      final: boolean
      trouble?: Trouble
    }
  /** a probe with stopOnFailure failed: nothing more is begun */
  | { fact: 'stopped'; task: string; probe: string }
  | { fact: 'checked'; task: string }
  | { fact: 'pod-created'; task: string; pod: string }
  | { fact: 'closed'; task: string }
  /** targets of one strike, chosen at its moment */
  | { fact: 'targeted'; task: string; wave: number; targets: TargetState[] }
  /** targets that are hit after the others of their wave: again after a pause, or new */
  | { fact: 'joined'; task: string; targets: TargetState[] }
  /** targets that came later are not hit, and by which limit */
  | { fact: 'capped'; task: string; why: string }
  /** whose effect had ended early, and which is seen to be there no more */
  | { fact: 'gone'; task: string; target: string }
  /** how an API-level target is before it is touched: durable before the act */
  | { fact: 'planned'; task: string; target: string; undo: Record<string, unknown> }
  | { fact: 'wave-sent'; task: string; wave: number }
  | { fact: 'armed'; task: string; target: string }
  | {
      fact: 'injected'
      task: string
      target: string
      wave?: number
      evidence: string
      endsAt?: number
    }
  /** `outcome`: it could not be hit, as it is no longer there */
  | {
      fact: 'inject-failed'
      task: string
      target: string
      wave?: number
      trouble: Trouble
      /** it may have been hit before that, for no longer than this */
      heldMs?: number
      outcome?: 'noLongerExists'
    }
  | { fact: 'lost'; task: string; target: string; reason: string; heldMs: number }
  | {
      fact: 'reverted'
      task: string
      target: string
      wave?: number
      proof: string
      heldMs?: number
      why?: HoldEnd
      /** nothing was ever done to it */
      untouched?: true
      /** restored, when absent */
      outcome?: TargetOutcome
    }
  | { fact: 'revert-failed'; task: string; target: string; trouble: Trouble; remaining: string[] }
  | { fact: 'failed'; task: string; trouble: Trouble }
  | { fact: 'acknowledged'; task: string; node: string; seq: number }
  | { fact: 'said'; task: string; level: 'info' | 'warn' | 'error'; text: string; pod?: string }
  | { fact: 'finished' }
)

/** What a source of facts writes before the loop stamps it. */
export type FactBody = Fact extends infer F
  ? F extends Fact
    ? Omit<F, 'at'> & { at?: number }
    : never
  : never
