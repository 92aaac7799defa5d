import { sample } from './chance.ts'
import { ChaosError } from './errors.ts'
import type { Selection, WorkloadKind, WorkloadSelector } from './plan.ts'

type Owner = { kind: string; name: string; uid: string; controller?: boolean }
export type SelectableObject = {
  metadata: {
    name: string
    namespace?: string
    uid: string
    deletionTimestamp?: string
    labels?: Record<string, string>
    ownerReferences?: Owner[]
  }
}
export type SelectablePod = SelectableObject & {
  spec?: { nodeName?: string; containers?: { name: string }[] }
  status?: {
    phase?: string
    containerStatuses?: { name: string; containerID?: string; state?: { running?: object } }[]
  }
}
type Workload = SelectableObject & {
  spec?: {
    selector?: {
      matchLabels?: Record<string, string>
      matchExpressions?: { key: string; operator: string; values?: string[] }[]
    } & Record<string, unknown>
  }
}

/** Where objects are looked up; `kind` in lower case, as in Selection, plus `node`, `replicaset`, `replicationcontroller`. */
export type Look = {
  /** undefined: there is no such object */
  get<T>(kind: string, namespace: string, name: string): Promise<T | undefined>
  list<T>(kind: string, namespace: string, labels: string): Promise<T[]>
}

export type Found = {
  namespace: string
  pod: string
  podUid: string
  node: string
  container: string
  containerId: string
}

/** Label on every pod that the product starts: never a target. */
export const ownLabel = 'chaos.chaosplane.io/run'

/** Kinds whose pods belong to an object in between, and the kind of that. */
const between: Partial<Record<WorkloadKind, string>> = {
  deployment: 'replicaset',
  rollout: 'replicaset',
  deploymentconfig: 'replicationcontroller',
}

const noTarget = (reason: string): ChaosError =>
  new ChaosError({ code: 'TARGET_SELECTION_ERROR', reason })

/** The targets of a task now: a share of the united entries, chosen without replacement by `chance`. */
export async function findTargets(
  selection: Selection,
  look: Look,
  chance: () => number,
): Promise<Found[]> {
  const pods = selection.pods.length > 0 ? await namedPods(selection, look) : null
  const chosen = pods ?? (await share(selection, look, chance))
  return chosen.map((pod) => targetOf(pod, selection.container))
}

/** TARGET_PODS: exactly these; one that is missing is an error. */
async function namedPods(selection: Selection, look: Look): Promise<SelectablePod[]> {
  const namespace = selection.workloads[0]?.namespace ?? 'default'
  const names = [...new Set(selection.pods)]
  const found = await Promise.all(
    names.map((name) => look.get<SelectablePod>('pod', namespace, name)),
  )
  return mustAllBeThere(names, found, namespace)
}

function mustAllBeThere(
  names: string[],
  found: (SelectablePod | undefined)[],
  namespace: string,
): SelectablePod[] {
  const usable = found.filter((p): p is SelectablePod => p !== undefined && isCandidate(p))
  if (usable.length === names.length) return usable
  const missing = names.filter((name) => !usable.some((p) => p.metadata.name === name))
  throw noTarget(
    `not there or not running in namespace ${namespace}: pods ${missing.join(', ')}; kubectl get pods -n ${namespace} shows what is`,
  )
}

async function share(
  selection: Selection,
  look: Look,
  chance: () => number,
): Promise<SelectablePod[]> {
  const lists = await Promise.all(selection.workloads.map((w) => podsOf(w, look)))
  const united = [...new Map(lists.flat().map((p) => [p.metadata.uid, p])).values()]
  const exact = selection.workloads.every((w) => w.kind === 'pod' && w.names.length > 0)
  const onNodes = await onWantedNodes(united, selection.nodeLabel, look)
  const candidates = onNodes.filter(isCandidate)
  if (candidates.length === 0) throw noTarget(describeNothing(selection, united.length))
  // The same set in the same order for whoever chooses again from the same seed.
  candidates.sort((a, b) => (a.metadata.uid < b.metadata.uid ? -1 : 1))
  if (exact && selection.share === 'one') return candidates
  return sample(candidates, countOf(selection.share, candidates.length), chance)
}

/** How many of n: percent rounds down, and never below one. */
export function countOf(share: Selection['share'], n: number): number {
  if (share === 'all') return n
  if (share === 'one') return Math.min(1, n)
  return Math.min(n, Math.max(1, Math.floor((n * Math.min(share, 100)) / 100)))
}

async function onWantedNodes(
  pods: SelectablePod[],
  nodeLabel: string,
  look: Look,
): Promise<SelectablePod[]> {
  if (!nodeLabel) return pods
  const nodes = await look.list<SelectableObject>('node', '', nodeLabel)
  const names = new Set(nodes.map((n) => n.metadata.name))
  return pods.filter((p) => names.has(p.spec?.nodeName ?? ''))
}

/** Running, staying, and not one of ours. */
const isCandidate = (pod: SelectablePod): boolean =>
  !pod.metadata.deletionTimestamp &&
  pod.status?.phase === 'Running' &&
  pod.metadata.labels?.[ownLabel] === undefined

async function podsOf(entry: WorkloadSelector, look: Look): Promise<SelectablePod[]> {
  const { kind, namespace, names, labels } = entry
  if (kind === 'any') return look.list('pod', namespace, labels)
  if (kind === 'pod') {
    if (names.length === 0) return look.list('pod', namespace, labels)
    const found = await Promise.all(names.map((n) => look.get<SelectablePod>('pod', namespace, n)))
    const there = mustAllBeThere(names, found, namespace)
    return labels ? there.filter(withLabels(await look.list('pod', namespace, labels))) : there
  }
  if (names.length === 0) return podsByLabel(entry, look)
  const lists = await Promise.all(names.map((name) => podsOfWorkload(entry, name, look)))
  return lists.flat()
}

const withLabels = (list: SelectableObject[]): ((p: SelectablePod) => boolean) => {
  const uids = new Set(list.map((p) => p.metadata.uid))
  return (pod) => uids.has(pod.metadata.uid)
}

async function podsOfWorkload(
  { kind, namespace, labels }: WorkloadSelector,
  name: string,
  look: Look,
): Promise<SelectablePod[]> {
  const workload = await look.get<Workload>(kind, namespace, name)
  if (!workload)
    throw noTarget(
      `${kind} ${name} does not exist in namespace ${namespace}; look at spec.tasks[].definition.targets, or at kubectl get ${kind} -n ${namespace}`,
    )
  const selector = [selectorText(workload), labels].filter((s) => s !== '').join(',')
  const middle = between[kind]
  const [pods, middles] = await Promise.all([
    look.list<SelectablePod>('pod', namespace, selector),
    middle ? look.list<SelectableObject>(middle, namespace, selectorText(workload)) : [],
  ])
  const owners = new Set(
    middle
      ? middles
          .filter((m) => ownedBy(m, new Set([workload.metadata.uid])))
          .map((m) => m.metadata.uid)
      : [workload.metadata.uid],
  )
  return pods.filter((pod) => ownedBy(pod, owners))
}

/** By labels of the pods alone: those whose owner chain leads to the kind. */
async function podsByLabel(
  { kind, namespace, labels }: WorkloadSelector,
  look: Look,
): Promise<SelectablePod[]> {
  const middle = between[kind]
  const [pods, middles] = await Promise.all([
    look.list<SelectablePod>('pod', namespace, labels),
    middle ? look.list<SelectableObject>(middle, namespace, '') : [],
  ])
  if (!middle) return pods.filter((p) => controllerOf(p)?.kind.toLowerCase() === kind)
  const owners = new Set(
    middles.filter((m) => controllerOf(m)?.kind.toLowerCase() === kind).map((m) => m.metadata.uid),
  )
  return pods.filter((pod) => ownedBy(pod, owners))
}

const controllerOf = (object: SelectableObject): Owner | undefined =>
  object.metadata.ownerReferences?.find((o) => o.controller) ?? object.metadata.ownerReferences?.[0]

const ownedBy = (object: SelectableObject, uids: Set<string>): boolean =>
  object.metadata.ownerReferences?.some((o) => uids.has(o.uid)) ?? false

/** A workload's own selector as label selector text; old kinds have a plain map. */
function selectorText(workload: Workload): string {
  const selector = workload.spec?.selector ?? {}
  const { matchLabels, matchExpressions = [] } = selector
  const plain = matchLabels ?? (matchExpressions.length === 0 ? plainMap(selector) : {})
  const equal = Object.entries(plain).map(([k, v]) => `${k}=${v}`)
  const others = matchExpressions.map(({ key, operator, values = [] }) => {
    if (operator === 'Exists') return key
    if (operator === 'DoesNotExist') return `!${key}`
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`
  })
  return [...equal, ...others].join(',')
}

const plainMap = (selector: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(selector).filter((e): e is [string, string] => typeof e[1] === 'string'),
  )

function describeNothing({ workloads, nodeLabel }: Selection, seen: number): string {
  const entries = workloads.map(({ kind, namespace, names, labels }) =>
    [`${kind} in namespace ${namespace}`, names.join(','), labels && `labels ${labels}`]
      .filter(Boolean)
      .join(' '),
  )
  const where = nodeLabel ? ` on nodes with ${nodeLabel}` : ''
  return `no running pod${where} for ${entries.join('; ') || 'an empty selection'} (${seen} pods matched, none of them running and staying); check names, labels and namespace`
}

function targetOf(pod: SelectablePod, wanted: string): Found {
  const { name, namespace = 'default', uid } = pod.metadata
  const containers = pod.spec?.containers ?? []
  const container = wanted || containers[0]?.name || ''
  if (!containers.some((c) => c.name === container))
    throw noTarget(
      `pod ${namespace}/${name} has no container ${container}; it has ${containers.map((c) => c.name).join(', ')}`,
    )
  const status = pod.status?.containerStatuses?.find((c) => c.name === container)
  return {
    namespace,
    pod: name,
    podUid: uid,
    node: pod.spec?.nodeName ?? '',
    container,
    // Without the runtime's scheme in front; empty while the container is not running.
    containerId: status?.state?.running
      ? (status.containerID ?? '').replace(/^[a-z-]+:\/\//, '')
      : '',
  }
}
