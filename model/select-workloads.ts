import { sample } from './chance.ts'
import { ChaosError } from './errors.ts'
import type { Selection, WorkloadKind, WorkloadSelector } from './plan.ts'
import {
  countOf,
  describeSelection,
  type Look,
  type SeenWorkload,
  workloadsByName,
} from './selection.ts'

export type FoundWorkload = { kind: WorkloadKind; namespace: string; name: string; uid: string }

async function workloadsOf(look: Look, entry: WorkloadSelector): Promise<SeenWorkload[]> {
  if (entry.names.length > 0) return workloadsByName(look, entry)
  return look.list<SeenWorkload>(entry.kind, entry.namespace, entry.labels)
}

/**
 * Workloads themselves, not their pods: all entries united, of which the share is taken; names are always all of them.
 * Throws ChaosError with TARGET_SELECTION_ERROR.
 */
export async function findWorkloads(
  selection: Selection,
  look: Look,
  chance: () => number,
): Promise<FoundWorkload[]> {
  const lists = await Promise.all(
    selection.workloads.map(async (entry) =>
      (await workloadsOf(look, entry))
        .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
        .map(({ metadata: { name, uid = '' } }) => ({
          kind: entry.kind,
          namespace: entry.namespace,
          name,
          uid,
        })),
    ),
  )
  const found = [...new Map(lists.flat().map((w) => [w.uid, w])).values()]
  found.sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1))
  if (found.length === 0)
    throw new ChaosError({
      code: 'TARGET_SELECTION_ERROR',
      reason: `no workload matches ${describeSelection(selection)}: correct the target`,
    })
  const everyOne = selection.share === 'one' && selection.workloads.every((w) => w.names.length > 0)
  return everyOne ? found : sample(found, countOf(selection.share, found.length), chance)
}
