import type { KubeClient } from '../../lib/kube/client.ts'
import {
  daemonSets,
  deploymentConfigs,
  deployments,
  jobs,
  nodes,
  pods,
  type ResourceKind,
  replicaSets,
  replicationControllers,
  resourcePath,
  rollouts,
  statefulSets,
} from '../../lib/kube/paths.ts'
import { seededChance } from '../../model/chance.ts'
import { ChaosError } from '../../model/errors.ts'
import type { FaultDefinition } from '../../model/fault.ts'
import type { Selection, TaskPlan, WorkloadKind } from '../../model/plan.ts'
import { whyNodeIsProtected } from '../../model/protection.ts'
import { findNodes } from '../../model/select-nodes.ts'
import { findWorkloads } from '../../model/select-workloads.ts'
import { type FoundTarget, findTargets, type Look } from '../../model/selection.ts'
import type { TargetState } from '../../model/state.ts'
import { faultCatalogue } from '../faults/catalogue.generated.ts'
import { type Account, explain, userOf } from '../run/rights.ts'

const kinds: Record<string, ResourceKind> = {
  pod: pods,
  node: nodes,
  deployment: deployments,
  statefulset: statefulSets,
  daemonset: daemonSets,
  replicaset: replicaSets,
  replicationcontroller: replicationControllers,
  job: jobs,
  rollout: rollouts,
  deploymentconfig: deploymentConfigs,
}

type LookParts = {
  kube: KubeClient
  account: Account
  signal: AbortSignal
  /** whether a program of the product runs there */
  hostsProduct?: (node: string) => boolean
}

function kindOf(kind: string): ResourceKind {
  const known = kinds[kind]
  if (!known) throw new Error(`kind ${kind} cannot be looked up`)
  return known
}

/** Reads of the cluster with the rights of the experiment's account. */
export function lookAs({ kube, account, signal, hostsProduct }: LookParts): Look {
  const as = userOf(account)
  return {
    whyNode: (node, isNamed) =>
      whyNodeIsProtected(node, { isNamed, hostsProduct: hostsProduct?.(node.name) ?? false }),
    async get<T>(kind: string, namespace: string, name: string): Promise<T | undefined> {
      const of = kindOf(kind)
      try {
        return await kube.find<T>(resourcePath({ ...of, namespace, name }), { as, signal })
      } catch (error) {
        throw explain(error, account, { verb: 'get', resource: of.plural, namespace })
      }
    },
    async list<T>(kind: string, namespace: string, labels: string): Promise<T[]> {
      const of = kindOf(kind)
      const path = resourcePath({ ...of, ...(namespace ? { namespace } : {}) })
      try {
        const query = labels ? { labelSelector: labels } : {}
        return (await kube.list<T>(path, { as, signal, query })).items
      } catch (error) {
        throw explain(error, account, { verb: 'list', resource: of.plural, namespace })
      }
    },
  }
}

/** The targets of one wave of a task, chosen by the run's seed. */
export async function findTargetsOf(
  task: TaskPlan,
  wave: number,
  parts: LookParts & { seed: number },
): Promise<TargetState[]> {
  const chance = seededChance(parts.seed, `${task.name}/${wave}`)
  const look = { ...lookAs(parts), later: wave > 0 }
  const fault = faultCatalogue[task.fault]
  const find = finders[fault?.targets ?? 'pods']
  return (await find(task.selection, look, chance, fault)).map((target) => ({
    ...target,
    wave,
    state: 'targeted' as const,
  }))
}

/** How many the selection could choose, whatever its share. */
export async function candidatesOf(task: TaskPlan, parts: LookParts): Promise<number> {
  const all: Selection = { ...task.selection, share: 'all' }
  const look = { ...lookAs(parts), later: true }
  const of = faultCatalogue[task.fault]?.targets ?? 'pods'
  const find = of === 'nodes' ? findNodes : of === 'workloads' ? findWorkloads : findTargets
  return (await find(all, look, () => 0)).length
}

/** All pods or containers of a task's selection that run now, in the order of their names. */
export async function presentTargets(task: TaskPlan, parts: LookParts): Promise<Chosen[]> {
  const look = { ...lookAs(parts), later: true }
  const found = await findTargets({ ...task.selection, share: 'all' }, look, () => 0).catch(
    (error: unknown) => {
      // Nobody is there at the moment.
      if (error instanceof ChaosError && error.code === 'TARGET_SELECTION_ERROR') return []
      throw error
    },
  )
  const fault = faultCatalogue[task.fault]
  const running = found.filter((f) => idOf(f, fault) !== undefined && f.node !== '')
  return running.map(fault?.targets === 'containers' ? containerOf(fault) : podOf)
}

type Chosen = Omit<TargetState, 'wave' | 'state'>
type Find = (
  selection: Selection,
  look: Look,
  chance: () => number,
  fault: Fault | undefined,
) => Promise<Chosen[]>
type Fault = Pick<FaultDefinition, 'outlivesContainers'>

const podOf = ({ namespace, pod, podUid, node }: FoundTarget): Chosen => ({
  id: `${namespace}/${pod}`,
  kind: 'Pod',
  namespace,
  name: pod,
  uid: podUid,
  node,
})

/** The container that is hit. What is done to its pod reaches one, too, that waits for its next life (CrashLoopBackOff). */
const idOf = ({ containerId, endedId }: FoundTarget, fault: Fault | undefined) =>
  containerId ?? (fault?.outlivesContainers ? endedId : undefined)

const containerOf =
  (fault: Fault | undefined) =>
  (found: FoundTarget): Chosen => {
    const { namespace, pod, container } = found
    const containerId = idOf(found, fault)
    if (!containerId)
      throw new ChaosError({
        code: 'TARGET_SELECTION_ERROR',
        reason: `container ${container} of pod ${namespace}/${pod} is not running; wait until it is`,
      })
    return { ...podOf(found), id: `${namespace}/${pod}/${container}`, container, containerId }
  }

const kindNames: Partial<Record<WorkloadKind, string>> = {
  deployment: 'Deployment',
  statefulset: 'StatefulSet',
  replicaset: 'ReplicaSet',
}

const finders: Record<FaultDefinition['targets'], Find> = {
  pods: async (selection, look, chance) => (await findTargets(selection, look, chance)).map(podOf),
  containers: async (selection, look, chance, fault) =>
    (await findTargets(selection, look, chance)).map(containerOf(fault)),
  nodes: async (selection, look, chance) =>
    (await findNodes(selection, look, chance)).map(({ name, uid }) => ({
      id: `node/${name}`,
      kind: 'Node',
      namespace: '',
      name,
      uid,
      node: name,
    })),
  workloads: async (selection, look, chance) =>
    (await findWorkloads(selection, look, chance)).map(({ kind, namespace, name, uid }) => ({
      id: `${kind}/${namespace}/${name}`,
      kind: kindNames[kind] ?? kind,
      namespace,
      name,
      uid,
    })),
}
