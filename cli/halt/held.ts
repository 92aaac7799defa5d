import type { KubeObject } from '../../lib/kube/types.ts'
import { runFinalizer } from '../../model/runner-life.ts'
import { openTargets, type RunState } from '../../model/state.ts'

export type Experiment = KubeObject & { status?: { run?: RunState } }

/** Whether something of its run may still be in effect. */
export const isHeld = ({ metadata }: Experiment): boolean =>
  metadata.finalizers?.includes(runFinalizer) ?? false

/** One experiment that is still held, with what is to be put back and the commands for a hand. */
export function heldText(kind: string, { metadata, status }: Experiment): string {
  const open = status?.run ? openTargets(status.run) : []
  const targets = open.map(({ id, node, state, remaining = [] }) => {
    const hand = remaining.length > 0 ? `; by hand: ${remaining.join(' && ')}` : ''
    return `\n    ${id}${node ? ` on node ${node}` : ''} is ${state}${hand}`
  })
  const runner = status?.run?.runner ?? 'no runner yet'
  const what = targets.length > 0 ? targets.join('') : ' nothing is injected any more'
  return `${kind} ${metadata.namespace}/${metadata.name} (${runner}):${what}`
}
