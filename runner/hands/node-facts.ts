import { type ErrorCode, errorCodes } from '../../model/errors.ts'
import type { NodeEvent } from '../../model/fault-pod.ts'
import type { FactBody } from '../engine/fact.ts'

const codeOf = (code: string): ErrorCode =>
  errorCodes.find((c) => c === code) ?? 'CHAOS_INJECT_ERROR'

const outcomeOf = (gone: true | undefined) => (gone ? { outcome: 'noLongerExists' as const } : {})

type Translate = {
  [K in NodeEvent['event']]: (event: Extract<NodeEvent, { event: K }>, task: string) => FactBody
}

const translate: Translate = {
  armed: ({ target, at }, task) => ({ fact: 'armed', task, target, at }),
  refused: ({ target, at, code, reason, gone }, task) => ({
    fact: 'inject-failed',
    task,
    target,
    at,
    trouble: { code: codeOf(code), reason, target },
    ...outcomeOf(gone),
  }),
  injected: ({ target, at, evidence, endsAt }, task) => ({
    fact: 'injected',
    task,
    target,
    at,
    evidence,
    endsAt,
  }),
  'inject-failed': ({ target, at, code, reason, gone, heldMs }, task) => ({
    fact: 'inject-failed',
    task,
    target,
    at,
    trouble: { code: codeOf(code), reason, target },
    ...outcomeOf(gone),
    ...(heldMs === undefined ? {} : { heldMs }),
  }),
  lost: ({ target, at, heldMs, reason }, task) => ({
    fact: 'lost',
    task,
    target,
    at,
    heldMs,
    reason,
  }),
  reverted: ({ target, at, heldMs, proof, why, untouched, gone }, task) => ({
    fact: 'reverted',
    task,
    target,
    at,
    ...(heldMs === undefined ? {} : { heldMs }),
    proof,
    why,
    ...(untouched ? { untouched } : {}),
    ...outcomeOf(gone),
  }),
  'revert-failed': ({ target, at, reason, remaining }, task) => ({
    fact: 'revert-failed',
    task,
    target,
    at,
    remaining,
    trouble: { code: 'CHAOS_REVERT_ERROR', reason, target },
  }),
  log: ({ level, text, at }, task) => ({ fact: 'said', task, level, text, at }),
}

/** What an event of the fault program means to the engine. */
export const factOf = (event: NodeEvent, task: string): FactBody =>
  (translate[event.event] as (event: NodeEvent, task: string) => FactBody)(event, task)
