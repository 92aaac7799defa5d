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

/** The event with its times as the runner's clock has them. */
const shifted = (event: NodeEvent, byMs: number): NodeEvent => ({
  ...event,
  at: event.at + byMs,
  ...(event.event === 'injected' ? { endsAt: event.endsAt + byMs } : {}),
})

/** What an event of the fault program means to the engine; `aheadMs`: the runner's clock is ahead of the node's. */
export const factOf = (event: NodeEvent, task: string, aheadMs: number): FactBody =>
  (translate[event.event] as (event: NodeEvent, task: string) => FactBody)(
    shifted(event, aheadMs),
    task,
  )

/** Clocks that are no further apart are one, milliseconds. */
const sameMs = 50

/** How far the runner's clock is ahead of one that was read between `asked` and `answered`; 0: they may agree. */
export const aheadOf = (node: number, asked: number, answered: number): number =>
  node < asked - sameMs || node > answered + sameMs ? answered - node : 0
