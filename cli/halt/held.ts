import type { KubeObject } from '../../lib/kube/types.ts'
import type { RunState } from '../../model/state.ts'

/** By this a runner holds a resource until everything of its run is put back. */
const runFinalizer = 'chaos.chaosplane.io/run'

export type Experiment = KubeObject & { status?: { run?: RunState } }

/** Whether something of its run may still be in effect. */
export const isHeld = ({ metadata }: Experiment): boolean =>
  metadata.finalizers?.includes(runFinalizer) ?? false

const openStates = new Set(['injected', 'lost', 'owed'])

/** One experiment that is still held, with what is to be put back and the commands for a hand. */
export function heldText(kind: string, { metadata, status }: Experiment): string {
  const open = (status?.run?.tasks ?? []).flatMap(({ targets }) =>
    targets.filter(({ state }) => openStates.has(state)),
  )
  const targets = open.map(({ id, node, state, remaining = [] }) => {
    const hand = remaining.length > 0 ? `; by hand: ${remaining.join(' && ')}` : ''
    return `\n    ${id}${node ? ` on node ${node}` : ''} is ${state}${hand}`
  })
  const runner = status?.run?.runner ?? 'no runner yet'
  const what = targets.length > 0 ? targets.join('') : ' nothing is injected any more'
  return `${kind} ${metadata.namespace}/${metadata.name} (${runner}):${what}`
}
