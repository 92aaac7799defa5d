import type { NodeOrder } from '../../model/fault-pod.ts'
import type { Unstamped } from './channel.ts'
import type { Kept } from './journal.ts'
import { hasActedOn, noRecord, pastOf } from './recover.ts'

/** What a program knows that cannot write a journal. */
export type WithoutJournal = {
  order: NodeOrder
  /** why it cannot */
  reason: string
  /** the journal's folder on the host */
  folder: string | undefined
  /** null: a program before this one may have acted, and nobody can read what it did */
  kept: Kept | null
  /** a program of this pod has injected, and events were told that no journal has */
  hasForgotten: boolean
}

/**
 * What is said of each target when nothing can be journalled: what an earlier program may hold is owed, what nobody has
 * touched is refused. What the journal has told already is told again from there.
 */
export function wordsWithoutJournal(known: WithoutJournal): Unstamped[] {
  const { order, reason, folder, kept, hasForgotten } = known
  const past = kept && pastOf(kept.earlier, kept.open)
  return order.targets.flatMap(({ id, touched }): Unstamped[] => {
    if (past?.settled.has(id)) return []
    if (touched || !past || past.sweeping.has(id)) {
      const text = `${reason} What was injected may not be put back yet; it is tried again.`
      const remaining = [`sh ${folder}/undo.sh`]
      return [{ event: 'revert-failed', target: id, reason: text, remaining }]
    }
    if (hasForgotten || hasActedOn(id, kept.earlier))
      return [{ event: 'reverted', target: id, why: 'guard', proof: noRecord }]
    const text = `${reason} Nothing was injected.`
    return [{ event: 'refused', target: id, code: 'HELPER_ERROR', reason: text }]
  })
}

/** Nothing of a journal is left on the node: whoever ends then ends in order. */
export const leavesNothing = ({ order, kept }: WithoutJournal): boolean =>
  order.attempt === 1 && kept !== null && kept.earlier.length === 0 && kept.open.length === 0
