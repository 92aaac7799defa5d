import { sample } from './chance.ts'
import { ChaosError } from './errors.ts'
import { faultPodLabels } from './fault-pod-spec.ts'
import { matches, parseSelector, selectorText } from './label-selector.ts'
import type { Selection, WorkloadKind, WorkloadSelector } from './plan.ts'
import type { NodeLabels } from './protection.ts'

/**
 * Reads of the cluster, with the rights of the experiment's account. `kind` is the lower-case singular: pod, node,
 * deployment, replicaset, replicationcontroller … An empty namespace means cluster-scoped; `labels` is a selector text.
 */
export type Look = {
  get<T>(kind: string, namespace: string, name: string): Promise<T | undefined>
  list<T>(kind: string, namespace: string, labels: string): Promise<T[]>
  /** why a node is protected, null: it is not; absent: none is */
  whyNode?(node: NodeLabels, isNamed: boolean): string | null
  /** a later wave: pods named one by one that are gone by now are passed over */
  later?: boolean
}

export type FoundTarget = {
  namespace: string
  pod: string
  podUid: string
  node: string
  container: string
  /** without its runtime prefix; absent while the container does not run */
  containerId?: string
  /** of its last life, while the container waits for the next one */
  endedId?: string
  ownerKind?: string
  ownerName?: string
}

type OwnerReference = {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
}
type Metadata = {
  name: string
  namespace?: string
  uid?: string
  labels?: Record<string, string>
  deletionTimestamp?: string
  ownerReferences?: OwnerReference[]
}
type ContainerStatus = { name: string; containerID?: string; state?: { running?: unknown } }
type Container = { name: string; restartPolicy?: string }

/** As much of a pod as choosing needs. */
export type SeenPod = {
  metadata: Metadata
  spec?: { nodeName?: string; containers?: Container[]; initContainers?: Container[] }
  status?: {
    phase?: string
    containerStatuses?: ContainerStatus[]
    initContainerStatuses?: ContainerStatus[]
  }
}
type Labels = Record<string, string>
export type SeenWorkload = {
  metadata: Metadata
  spec?: { selector?: Labels & { matchLabels?: Labels } }
}

const owners: Readonly<
  Record<WorkloadKind, { kind: string; group: string; through?: string } | null>
> = {
  deployment: { kind: 'Deployment', group: 'apps', through: 'replicaset' },
  rollout: { kind: 'Rollout', group: 'argoproj.io', through: 'replicaset' },
  deploymentconfig: {
    kind: 'DeploymentConfig',
    group: 'apps.openshift.io',
    through: 'replicationcontroller',
  },
  statefulset: { kind: 'StatefulSet', group: 'apps' },
  daemonset: { kind: 'DaemonSet', group: 'apps' },
  replicaset: { kind: 'ReplicaSet', group: 'apps' },
  job: { kind: 'Job', group: 'batch' },
  pod: null,
  any: null,
}

const middle: Readonly<Record<string, { kind: string; group: string }>> = {
  replicaset: { kind: 'ReplicaSet', group: 'apps' },
  replicationcontroller: { kind: 'ReplicationController', group: '' },
}

/** Up to so many objects are asked for by name; more are listed at once. */
const fewNames = 3

const refuse = (reason: string): ChaosError =>
  new ChaosError({ code: 'TARGET_SELECTION_ERROR', reason })

const groupOf = (apiVersion: string): string =>
  apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''

const controllerOf = (object: { metadata: Metadata }): OwnerReference | undefined =>
  object.metadata.ownerReferences?.find((o) => o.controller)

const isOf = (
  owner: OwnerReference | undefined,
  wanted: { kind: string; group: string },
): boolean => owner?.kind === wanted.kind && groupOf(owner.apiVersion) === wanted.group

/** Nothing can be done to a pod that is going or has ended, and nothing is done to those that we started for a run. */
const isCandidate = ({ metadata, status }: SeenPod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.phase !== 'Succeeded' &&
  status?.phase !== 'Failed' &&
  metadata.labels?.[faultPodLabels.run] === undefined &&
  metadata.labels?.[faultPodLabels.part] === undefined

/** A pod and the workload that it was found through. */
type Found = { pod: SeenPod; owner?: OwnerReference }

async function podsByName(look: Look, namespace: string, names: string[]): Promise<SeenPod[]> {
  const seen =
    names.length <= fewNames
      ? await Promise.all(names.map((name) => look.get<SeenPod>('pod', namespace, name)))
      : await look.list<SeenPod>('pod', namespace, '')
  const byName = new Map(seen.flatMap((pod) => (pod ? [[pod.metadata.name, pod]] : [])))
  const missing = names.filter((name) => !byName.has(name))
  if (look.later) return [...byName.values()].filter(isCandidate)
  if (missing.length > 0)
    throw refuse(
      `there is no pod ${missing.join(', ')} in the namespace ${namespace}: correct the name, or select a workload`,
    )
  const pods = names.flatMap((name) => byName.get(name) ?? [])
  const gone = pods.filter((pod) => !isCandidate(pod)).map((pod) => pod.metadata.name)
  if (gone.length > 0)
    throw refuse(
      `pod ${gone.join(', ')} in the namespace ${namespace} has ended, is being deleted or belongs to this product: name a running pod`,
    )
  return pods
}

function podSelectorOf(workload: SeenWorkload): string {
  const selector = workload.spec?.selector
  if (!selector) return ''
  // A DeploymentConfig's selector is the plain map; all others have matchLabels.
  const isObject = 'matchLabels' in selector || 'matchExpressions' in selector
  return isObject ? selectorText(selector) : selectorText({ matchLabels: selector })
}

/** Workloads by name; throws when one is missing. */
export async function workloadsByName(
  look: Look,
  { kind, namespace, names }: WorkloadSelector,
): Promise<SeenWorkload[]> {
  const seen =
    names.length <= fewNames
      ? await Promise.all(names.map((name) => look.get<SeenWorkload>(kind, namespace, name)))
      : await look.list<SeenWorkload>(kind, namespace, '')
  const found = seen.filter(
    (w) => w !== undefined && names.includes(w.metadata.name),
  ) as SeenWorkload[]
  const missing = names.filter((name) => !found.some((w) => w.metadata.name === name))
  if (missing.length > 0)
    throw refuse(
      `there is no ${kind} ${missing.join(', ')} in the namespace ${namespace}: correct names, kind or namespace of the target`,
    )
  return found
}

/** Pods that some of the workloads may own; only their labels are compared here. */
async function podsOfWorkloads(
  look: Look,
  entry: WorkloadSelector,
  found: SeenWorkload[],
): Promise<SeenPod[]> {
  const selectors = [...new Set(found.map(podSelectorOf))]
  if (selectors.length !== 1 && selectors.length > fewNames)
    return look.list<SeenPod>('pod', entry.namespace, entry.labels)
  const lists = await Promise.all(
    selectors.map((selector) => look.list<SeenPod>('pod', entry.namespace, selector)),
  )
  const wanted = parseSelector(entry.labels)
  return lists.flat().filter((pod) => matches(wanted, pod.metadata.labels ?? {}))
}

/** Who controls the controllers of these pods: by name when they are few, else in one list. */
async function ownersOf(
  look: Look,
  through: string,
  { namespace, pods }: { namespace: string; pods: SeenPod[] },
): Promise<Map<string, OwnerReference>> {
  const wanted = middle[through]
  const direct = pods.map(controllerOf).filter((o) => wanted !== undefined && isOf(o, wanted))
  const names = [...new Set(direct.flatMap((o) => (o ? [o.name] : [])))]
  const seen =
    names.length <= fewNames
      ? await Promise.all(names.map((name) => look.get<SeenWorkload>(through, namespace, name)))
      : await look.list<SeenWorkload>(through, namespace, '')
  return new Map(
    seen.flatMap((object) => {
      const owner = object ? controllerOf(object) : undefined
      return object?.metadata.uid && owner ? [[object.metadata.uid, owner] as const] : []
    }),
  )
}

async function ownedPods(look: Look, entry: WorkloadSelector): Promise<Found[]> {
  const wanted = owners[entry.kind]
  if (wanted === null) return []
  const named = entry.names.length > 0 ? await workloadsByName(look, entry) : null
  const pods =
    named === null
      ? await look.list<SeenPod>('pod', entry.namespace, entry.labels)
      : await podsOfWorkloads(look, entry, named)
  const uids = named === null ? null : new Set(named.map((w) => w.metadata.uid))
  const above = wanted.through
    ? await ownersOf(look, wanted.through, { namespace: entry.namespace, pods })
    : null
  return pods.flatMap((pod) => {
    const direct = controllerOf(pod)
    const owner = above === null ? direct : above.get(direct?.uid ?? '')
    return owner && isOf(owner, wanted) && (uids === null || uids.has(owner.uid))
      ? [{ pod, owner }]
      : []
  })
}

async function podsOf(look: Look, entry: WorkloadSelector): Promise<Found[]> {
  if (owners[entry.kind] !== null) return ownedPods(look, entry)
  const wanted = parseSelector(entry.labels)
  const pods =
    entry.names.length > 0
      ? await podsByName(look, entry.namespace, entry.names)
      : await look.list<SeenPod>('pod', entry.namespace, entry.labels)
  return pods
    .filter((pod) => matches(wanted, pod.metadata.labels ?? {}))
    .map((pod) => {
      const owner = controllerOf(pod)
      return owner ? { pod, owner } : { pod }
    })
}

const bareId = (id: string | undefined): string => (id ?? '').replace(/^[a-z0-9.+-]+:\/\//i, '')

function targetOf({ pod, owner }: Found, wanted: string): FoundTarget {
  const { metadata, spec, status } = pod
  const sidecars = (spec?.initContainers ?? []).filter((c) => c.restartPolicy === 'Always')
  const containers = [...(spec?.containers ?? []), ...sidecars]
  const container = wanted === '' ? containers[0] : containers.find((c) => c.name === wanted)
  if (container === undefined)
    throw refuse(
      `pod ${metadata.namespace}/${metadata.name} has no container ${wanted}; it has ${containers.map((c) => c.name).join(', ')}`,
    )
  const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])]
  const own = statuses.find((s) => s.name === container.name)
  const id = bareId(own?.containerID)
  return {
    namespace: metadata.namespace ?? '',
    pod: metadata.name,
    podUid: metadata.uid ?? '',
    node: spec?.nodeName ?? '',
    container: container.name,
    ...(id === '' ? {} : own?.state?.running ? { containerId: id } : { endedId: id }),
    ...(owner ? { ownerKind: owner.kind, ownerName: owner.name } : {}),
  }
}

const order = (a: Found, b: Found): number => {
  const key = ({ pod: { metadata: m } }: Found): string => `${m.namespace}/${m.name}/${m.uid}`
  const [x, y] = [key(a), key(b)]
  return x < y ? -1 : x > y ? 1 : 0
}

const unique = (found: Found[]): Found[] => [
  ...new Map(found.map((f) => [f.pod.metadata.uid ?? '', f])).values(),
]

const entryText = ({ kind, namespace, names, labels }: WorkloadSelector): string =>
  [
    `kind ${kind}`,
    `namespace ${namespace}`,
    ...(names.length > 0 ? [`names ${names.join(', ')}`] : []),
    ...(labels ? [`labels ${labels}`] : []),
  ].join(', ')

/** What was looked for, in words. */
export const describeSelection = ({ workloads, pods, nodeLabel }: Selection): string =>
  [
    pods.length > 0
      ? `pods ${pods.join(', ')} in namespace ${workloads[0]?.namespace ?? ''}`
      : workloads.map(entryText).join('; or '),
    ...(nodeLabel && pods.length === 0 ? [`on nodes with ${nodeLabel}`] : []),
  ].join(', ')

async function onNodes(look: Look, found: Found[], nodeLabel: string): Promise<Found[]> {
  if (nodeLabel === '' || found.length === 0) return found
  const nodes = await look.list<{ metadata: Metadata }>('node', '', nodeLabel)
  const names = new Set(nodes.map((n) => n.metadata.name))
  return found.filter(({ pod }) => names.has(pod.spec?.nodeName ?? ''))
}

const byName = (a: Found, b: Found): number => {
  const [x, y] = [a.pod.metadata.name, b.pod.metadata.name]
  return x < y ? -1 : x > y ? 1 : order(a, b)
}

/** As the selection wants them; by chance they have no order. */
function ordered(found: Found[], wanted: Selection['order']): Found[] {
  if (wanted === undefined) return found
  const sorted = [...found].sort(byName)
  return wanted === 'reverse' ? sorted.reverse() : sorted
}

type Choice = { count: number; chance: () => number; order: Selection['order'] }

/** Running pods are taken first: what has no process yet cannot show an effect. */
function take(found: Found[], { count, chance, order: wanted }: Choice): Found[] {
  const runs = ({ pod }: Found): boolean => pod.status?.phase === 'Running'
  const pick = (from: Found[], n: number): Found[] =>
    wanted === undefined ? sample(from, n, chance) : ordered(from, wanted).slice(0, Math.max(0, n))
  const running = pick(found.filter(runs), count)
  const rest = found.filter((f) => !runs(f))
  return ordered([...running, ...pick(rest, count - running.length)], wanted)
}

/** How many of `of` a share is. */
export const countOf = (share: Selection['share'], of: number): number => {
  if (share === 'all') return of
  return share === 'one' ? 1 : Math.max(1, Math.floor((of * Math.min(share, 100)) / 100))
}

function chosen(selection: Selection, found: Found[], chance: () => number): Found[] {
  if (found.length === 0)
    throw refuse(
      `no pod matches ${describeSelection(selection)}: correct the target, or wait until its pods are there`,
    )
  const count = countOf(selection.share, found.length)
  return take(found, { count, chance, order: selection.order })
}

async function namedPods(selection: Selection, look: Look): Promise<FoundTarget[]> {
  const namespace = selection.workloads[0]?.namespace ?? ''
  const pods = await podsByName(look, namespace, [...new Set(selection.pods)])
  if (pods.length === 0) throw refuse(`none of the pods ${selection.pods.join(', ')} is left`)
  return pods.map((pod) => {
    const owner = controllerOf(pod)
    return targetOf(owner ? { pod, owner } : { pod }, selection.container)
  })
}

/**
 * Looks the targets of a selection up and chooses among them; throws ChaosError with TARGET_SELECTION_ERROR.
 * Pods of all entries are united by uid, and the share is taken of the union. Pods named with kind `pod`, like
 * TARGET_PODS, are always all of them.
 */
export async function findTargets(
  selection: Selection,
  look: Look,
  chance: () => number,
): Promise<FoundTarget[]> {
  if (selection.pods.length > 0) return namedPods(selection, look)
  const entries = await Promise.all(
    selection.workloads.map(async (entry) => ({
      always: entry.kind === 'pod' && entry.names.length > 0,
      found: await podsOf(look, entry),
    })),
  )
  const united = (always: boolean): Found[] =>
    unique(entries.filter((e) => e.always === always).flatMap((e) => e.found))
      .filter((f) => isCandidate(f.pod))
      .sort(order)
  const [named, others] = [united(true), united(false)]
  const uids = new Set(named.map((f) => f.pod.metadata.uid))
  const open = others.filter((f) => !uids.has(f.pod.metadata.uid))
  const onNode = await onNodes(look, [...named, ...open], selection.nodeLabel)
  const sure = onNode.filter((f) => uids.has(f.pod.metadata.uid))
  const rest = onNode.filter((f) => !uids.has(f.pod.metadata.uid))
  const byChoice = sure.length === 0 || rest.length > 0 ? chosen(selection, rest, chance) : []
  return ordered([...sure, ...byChoice], selection.order).map((f) =>
    targetOf(f, selection.container),
  )
}
