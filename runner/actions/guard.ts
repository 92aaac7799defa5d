import { pods, resourcePath } from '../../lib/kube/paths.ts'
import { capLines, type Standing, tightest, whyTooMany } from '../../model/caps.ts'
import { ChaosError } from '../../model/errors.ts'
import {
  type GuardedPod,
  minHealthyText,
  whyTooFew,
  whyTooSmall,
  workloadOf,
} from '../../model/min-healthy.ts'
import type { TaskPlan } from '../../model/plan.ts'
import { whyNamespaceIsProtected } from '../../model/protection.ts'
import type { TargetState } from '../../model/state.ts'
import { candidatesOf } from '../hands/look.ts'
import type { Countable } from '../run/cluster-size.ts'
import { openTargetsOf } from '../run/ledger.ts'
import { type Actor, faultOf } from './actor.ts'

type Guard = Pick<Actor, 'context' | 'state' | 'resource' | 'account'>
type Target = Pick<TargetState, 'id' | 'kind' | 'namespace' | 'name' | 'uid'>

/** What was read for a choice: how many could be chosen, and the pods of whoever is concerned. */
export type Sight = {
  candidates: number | null
  /** those of the candidates that the task holds already */
  held?: number
  pods: readonly GuardedPod[]
  /** pods that run in the cluster, or its nodes; null: no cap asks for them */
  clusterSize: number | null
}

const isNamed = ({ selection: { pods: names, nodes, workloads } }: TaskPlan): boolean =>
  names.length > 0 ||
  nodes.length > 0 ||
  workloads.some((w) => w.kind === 'pod' && w.names.length > 0)

/** Reads what caps and guards need; nothing when the chart asks for none of them. */
export async function lookAround(
  task: TaskPlan,
  targets: readonly Target[],
  { actor, signal }: { actor: Guard; signal: AbortSignal },
): Promise<Sight> {
  const { caps, minHealthy } = actor.context.protection
  const isShare = caps.percent !== null && caps.percent < 100
  const needsPods = minHealthy !== null || (isShare && isNamed(task))
  const [candidates, seen, clusterSize] = await Promise.all([
    isShare && !isNamed(task) ? candidatesOf(task, lookingAs(actor, signal)) : null,
    needsPods ? podsAround(task, targets, { actor, signal }) : [],
    sizeFor(task, { actor, signal }),
  ])
  if (!isShare || candidates !== null) return { candidates, pods: seen, clusterSize }
  return { candidates: ofTheirWorkloads(targets, seen), pods: seen, clusterSize }
}

/** The same for targets that come while others are held: it could choose from all that run now. */
export async function lookAroundLate(
  task: TaskPlan,
  { present, held }: { present: readonly Target[]; held: number },
  { actor, signal }: { actor: Guard; signal: AbortSignal },
): Promise<Sight> {
  const isAsked = actor.context.protection.minHealthy !== null
  const seen = isAsked ? await podsAround(task, present, { actor, signal }) : []
  const clusterSize = await sizeFor(task, { actor, signal })
  return { candidates: present.length, held, pods: seen, clusterSize }
}

/** What a share of the cluster is counted in; a workload that is scaled is neither. */
function countedIn(task: TaskPlan, actor: Guard): Countable | null {
  const { targets } = faultOf(actor, task)
  if (targets === 'workloads') return null
  return targets === 'nodes' ? 'Node' : 'Pod'
}

async function sizeFor(
  task: TaskPlan,
  { actor, signal }: { actor: Guard; signal: AbortSignal },
): Promise<number | null> {
  const { caps, clusterSize } = actor.context.protection
  const kind = countedIn(task, actor)
  const isAsked = caps.percentOfCluster !== null && caps.percentOfCluster < 100
  return isAsked && kind ? clusterSize(kind, signal) : null
}

const lookingAs = ({ context: { kube }, account }: Guard, signal: AbortSignal) => ({
  kube,
  account,
  signal,
})

/** Whoever names pods could have named each pod of their workloads. */
function ofTheirWorkloads(targets: readonly Target[], seen: readonly GuardedPod[]): number | null {
  const uids = new Set(targets.filter((t) => t.kind === 'Pod').map((t) => t.uid))
  if (uids.size === 0) return null
  const isHit = ({ metadata }: GuardedPod): boolean => uids.has(metadata.uid ?? '')
  const workloads = new Set(seen.filter(isHit).map(workloadOf))
  return seen.filter(
    (pod) => isHit(pod) || (workloadOf(pod) !== null && workloads.has(workloadOf(pod))),
  ).length
}

/** With own rights: what is protected does not depend on what the account may see. */
async function podsAround(
  task: TaskPlan,
  targets: readonly Target[],
  { actor, signal }: { actor: Guard; signal: AbortSignal },
): Promise<GuardedPod[]> {
  const { kube } = actor.context
  const list = async (namespace?: string) =>
    (
      await kube.list<GuardedPod>(resourcePath({ ...pods, ...(namespace ? { namespace } : {}) }), {
        signal,
      })
    ).items
  if (faultOf(actor, task).targets !== 'nodes') {
    const namespaces = [...new Set(targets.map((t) => t.namespace))]
    return (await Promise.all(namespaces.map(list))).flat()
  }
  return evicts(task, actor) ? list() : []
}

const evicts = (task: TaskPlan, actor: Guard): boolean =>
  faultOf(actor, task).evicts?.(task.params) ?? false

/** All experiments are gone through only where a cap asks for them. */
function standing(task: TaskPlan, { actor, sight }: { actor: Guard; sight: Sight }): Standing {
  const { caps, othersThan } = actor.context.protection
  const { candidates, held = 0, clusterSize: size } = sight
  const own = openTargetsOf(actor.state())
  const others = caps.perCluster === null && size === null ? [] : othersThan(actor.resource.uid)
  const kind = countedIn(task, actor)
  const cluster = kind !== null &&
    size !== null && {
      size,
      held: [...own, ...others].filter((target) => target.kind === kind).length,
      of: kind === 'Node' ? ('nodes' as const) : ('pods' as const),
    }
  return {
    ofExperiment: own.length,
    ofOthers: others.length,
    candidates,
    held,
    cluster: cluster || null,
  }
}

/**
 * Throws when one of the targets is protected, when they are too many, or when too few pods would stay ready. Reads
 * nothing: called in the same moment in which the choice is recorded, so that two runs never share the same room.
 */
export function mustBeAllowed(
  task: TaskPlan,
  targets: readonly Target[],
  { actor, sight }: { actor: Guard; sight: Sight },
): void {
  const why =
    whyProtected(targets, actor) ??
    whyTooMany(targets.length, actor.context.protection.caps, standing(task, { actor, sight })) ??
    whyUnhealthy(task, targets, { actor, sight })
  if (why !== null)
    throw new ChaosError({ code: 'TARGET_SELECTION_ERROR', reason: `task ${task.name}: ${why}` })
}

/** Why one of them may not be hit at all. */
export function whyProtected(targets: readonly Target[], { context }: Guard): string | null {
  for (const { id, namespace } of targets) {
    const why = namespace && whyNamespaceIsProtected(namespace, context.protection.namespaces)
    if (why) return `${id} is not hit: ${why.reason}; ${why.suggestion}`
  }
  return null
}

/** The limits that count for a choice, in words. */
export function limitsOf(
  task: TaskPlan,
  count: number,
  { actor, sight }: { actor: Guard; sight: Sight },
): string[] {
  const { caps, minHealthy, namespaces } = actor.context.protection
  const { allowed, denied } = namespaces
  return [
    ...(allowed.length > 0 ? [`protection.namespaces.allow is ${allowed.join(', ')}`] : []),
    ...(denied.length > 0 ? [`protection.namespaces.deny is ${denied.join(', ')}`] : []),
    ...capLines(count, caps, standing(task, { actor, sight })),
    ...(minHealthy === null ? [] : [`protection.minHealthy is ${minHealthyText(minHealthy)}`]),
  ]
}

/** How many more targets the caps leave room for, and why no more. */
export const roomLeft = (
  task: TaskPlan,
  { actor, sight }: { actor: Guard; sight: Sight },
): { room: number; why: string } =>
  tightest(actor.context.protection.caps, standing(task, { actor, sight }))

/** Why too few pods of a workload would stay ready. */
export function whyUnhealthy(
  task: TaskPlan,
  targets: readonly Target[],
  { actor, sight }: { actor: Guard; sight: Sight },
): string | null {
  const { minHealthy, othersThan, namespaces } = actor.context.protection
  if (minHealthy === null) return null
  const fault = faultOf(actor, task)
  const replicas = fault.leaves?.(task.params)
  if (replicas !== undefined) {
    for (const { kind, namespace, name } of targets) {
      const of = { workload: `${kind}/${namespace}/${name}`, pods: sight.pods, replicas }
      const why = whyTooSmall(minHealthy, of)
      if (why !== null) return why
    }
    return null
  }
  const open = [...othersThan(actor.resource.uid), ...openTargetsOf(actor.state())]
  const held = new Set(open.map((t) => t.uid))
  const inTurn = task.sequence === 'serial' && fault.lasts === 'while-held'
  const together = inTurn ? targets.map((t) => [t]) : [targets]
  for (const each of together) {
    const hit = evicts(task, actor)
      ? evictedFrom(new Set(each.map((t) => t.name)), sight.pods, namespaces.own)
      : new Set(each.map((t) => t.uid))
    const why = whyTooFew(minHealthy, { pods: sight.pods, hit, held })
    if (why !== null) return why
  }
  return null
}

const stays = new Set(['DaemonSet', 'Node'])

/** Pods that have to leave these nodes. */
const evictedFrom = (
  nodes: ReadonlySet<string>,
  all: readonly GuardedPod[],
  own: string,
): Set<string> =>
  new Set(
    all
      .filter(({ metadata, spec }) => nodes.has(spec?.nodeName ?? '') && metadata.namespace !== own)
      .filter(({ metadata }) => !metadata.ownerReferences?.some((o) => stays.has(o.kind)))
      .map(({ metadata }) => metadata.uid ?? ''),
  )
