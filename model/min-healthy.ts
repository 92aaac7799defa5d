/** How many pods of each workload stay ready, as a number or as a share of its pods; null: nobody asks. */
export type MinHealthy = { pods: number } | { percent: number } | null

type Owner = { kind: string; name: string; controller?: boolean }

/** As much of a pod as this needs. */
export type GuardedPod = {
  metadata: {
    name: string
    namespace?: string
    uid?: string
    labels?: Record<string, string>
    deletionTimestamp?: string
    ownerReferences?: Owner[]
  }
  spec?: { nodeName?: string }
  status?: { phase?: string; conditions?: { type: string; status: string }[] }
}

/**
 * The workload of a pod as `Kind/namespace/name`; null: it has none. A ReplicaSet of a Deployment is named after it
 * and the hash of its template, so that a rollout does not count as two workloads.
 */
export function workloadOf({ metadata }: GuardedPod): string | null {
  const owner = metadata.ownerReferences?.find((o) => o.controller)
  if (!owner) return null
  const hash = metadata.labels?.['pod-template-hash']
  const isOfDeployment =
    owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`)
  const [kind, name] = isOfDeployment
    ? ['Deployment', owner.name.slice(0, -hash.length - 1)]
    : [owner.kind, owner.name]
  return `${kind}/${metadata.namespace ?? ''}/${name}`
}

const counts = ({ metadata, status }: GuardedPod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.phase !== 'Succeeded' &&
  status?.phase !== 'Failed'

const isReady = ({ status }: GuardedPod): boolean =>
  status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false

/** The least number of a workload with so many pods. */
const leastOf = (wanted: NonNullable<MinHealthy>, pods: number): number =>
  'pods' in wanted ? wanted.pods : Math.ceil((pods * wanted.percent) / 100)

export const minHealthyText = (wanted: NonNullable<MinHealthy>): string =>
  'pods' in wanted ? String(wanted.pods) : `${wanted.percent}%`

export type Guarded = {
  /** all pods of the workloads concerned, at least */
  pods: readonly GuardedPod[]
  /** uids of pods that are about to be hit together */
  hit: ReadonlySet<string>
  /** uids of pods that experiments hold: whatever their readiness says, nobody counts on them */
  held: ReadonlySet<string>
}

/** Why too few pods of a workload would stay ready, with the limit and what would be right; null: enough do. */
export function whyTooFew(wanted: MinHealthy, { pods, hit, held }: Guarded): string | null {
  if (wanted === null) return null
  const byWorkload = Map.groupBy(pods.filter(counts), (pod) => workloadOf(pod))
  for (const [workload, all] of byWorkload) {
    if (workload === null) continue
    const uid = (pod: GuardedPod): string => pod.metadata.uid ?? ''
    const well = all.filter((pod) => isReady(pod) && !held.has(uid(pod)))
    const left = well.filter((pod) => !hit.has(uid(pod))).length
    const least = leastOf(wanted, all.length)
    // Who hits nobody that is well makes nothing worse.
    if (left === well.length || left >= least) continue
    return `${left} of the ${all.length} pods of ${workload} would stay ready, ${well.length} are now; protection.minHealthy of the chart is ${minHealthyText(wanted)}, so ${least} must stay: choose fewer targets, wait until its pods are ready, or have the limit changed`
  }
  return null
}

/** The same for a workload that is scaled to so many pods. */
export function whyTooSmall(
  wanted: MinHealthy,
  { workload, pods, replicas }: { workload: string; pods: readonly GuardedPod[]; replicas: number },
): string | null {
  if (wanted === null) return null
  const own = pods.filter((pod) => counts(pod) && workloadOf(pod) === workload)
  const least = leastOf(wanted, own.length)
  if (replicas >= least || replicas >= own.length) return null
  return `${workload} has ${own.length} pods and would be scaled to ${replicas}; protection.minHealthy of the chart is ${minHealthyText(wanted)}, so ${least} must stay: ask for more replicas, or have the limit changed`
}
