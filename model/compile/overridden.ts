import type { FaultDefinition, Tunables } from '../fault.ts'
import type { Selection } from '../plan.ts'
import { textOf } from '../tunable.ts'
import type { Problems } from './problems.ts'
import { nodePercentageNames, percentageNames } from './tunables.ts'

type Aim = FaultDefinition['targets']

/** Tunables that give way to targets that are named, by what names them. */
function rulesFor({ pods, nodes, nodeLabel, workloads }: Selection, targets: Aim) {
  const named =
    workloads.length > 0 && workloads.every((w) => w.kind === 'pod' && w.names.length > 0)
  if (targets === 'nodes')
    return nodes.length > 0
      ? { names: ['NODE_LABEL', ...nodePercentageNames], why: 'nodes are named' }
      : { names: [], why: '' }
  if (pods.length > 0)
    return {
      names: ['NODE_LABEL', ...percentageNames, 'POD_TERMINATION_ORDER'],
      why: 'TARGET_PODS is given',
    }
  return named && nodeLabel === ''
    ? { names: percentageNames, why: 'the pods are named' }
    : { names: [], why: '' }
}

/** Says which tunables about the choice of targets do not count, because something else has decided it. */
export function noteOverridden(
  values: Tunables,
  { selection, targets }: { selection: Selection; targets: Aim },
  { problems, pathOf }: { problems: Problems; pathOf: (name: string) => string },
): void {
  const { names, why } = rulesFor(selection, targets)
  // 0 percent is what control planes write when nothing was chosen.
  const given = names.filter((name) => !['', '0'].includes(textOf(values, name)))
  for (const name of given) problems.note(`${pathOf(name)}: ${name} is not used, because ${why}.`)
  const byNode = selection.nodes.length > 0 || selection.nodeLabel !== ''
  if (
    targets === 'nodes' &&
    byNode &&
    (selection.workloads.length > 0 || selection.pods.length > 0)
  )
    problems.note(
      'Workloads and pods of a task are not used where nodes are named or selected by NODE_LABEL.',
    )
}
