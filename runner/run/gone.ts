import type { Happening } from '../../lib/kube/events.ts'
import { short } from '../../model/snapshot.ts'
import type { RunState, TargetState } from '../../model/state.ts'
import { mayBeHeld } from '../engine/reduce.ts'
import type { Resource } from './resource.ts'

/** What Events and the log say of a run whose resource was removed under it. */
export type Said = { type: Happening['type']; note: string }

/** An Event takes 1024 characters. */
const maxList = 600

const listOf = (targets: readonly TargetState[]): string =>
  short(
    targets.map(({ id, remaining = [] }) => [id, ...remaining].join('; by hand: ')).join(', '),
    maxList,
  )

/** Said at once: a runner that dies now takes with it what it knows. */
export function goneNote(run: RunState, why: string): Said {
  const held = openOf(run)
  const what =
    held.length === 0
      ? 'Nothing was held'
      : `This runner puts back what it holds, from memory, and says when that is done: ${listOf(held)}`
  return {
    type: 'Warning',
    note: `Run ${run.runId} is aborted: ${why}, and no state can be stored any more. ${what}.`,
  }
}

/** Said at the end: put back, or what is left for a hand. */
export function goneEnd(run: RunState): Said {
  const left = openOf(run)
  if (left.length === 0)
    return {
      type: 'Normal',
      note: `Run ${run.runId}, whose resource was removed, has ended: nothing of it is held any more.`,
    }
  return {
    type: 'Warning',
    note: `Run ${run.runId}, whose resource was removed, is left by its runner with targets that are not as before, and nobody will look after them: ${listOf(left)}`,
  }
}

const openOf = ({ tasks }: RunState): TargetState[] =>
  tasks.flatMap(({ targets }) => targets.filter(mayBeHeld))

/** About the resource, and about its namespace: one in deletion takes no Events, so the second is in `default`. */
export function goneEvents(resource: Resource, { type, note }: Said): Happening[] {
  const { apiVersion, kind, name, namespace, uid } = resource
  const metadata = { name, namespace, uid, resourceVersion: '' }
  const place = { name: namespace, uid: '', resourceVersion: '' }
  const both = [
    { regarding: { apiVersion, kind, metadata }, note },
    {
      regarding: { apiVersion: 'v1', kind: 'Namespace', metadata: place },
      note: `${kind} ${name}: ${note}`,
    },
  ]
  return both.map((event) => ({ ...event, type, reason: 'ResourceGone' }))
}
