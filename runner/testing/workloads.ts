import type { KubeClient } from '../../lib/kube/client.ts'
import {
  apiVersionOf,
  customResourceDefinitions,
  daemonSets,
  deploymentConfigs,
  deployments,
  jobs,
  pods,
  type ResourceKind,
  replicaSets,
  replicationControllers,
  resourcePath,
  rollouts,
  statefulSets,
} from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'

/** Workloads of every kind by which targets are found, on an API server where no controller makes their pods. */

const kinds = {
  Deployment: deployments,
  StatefulSet: statefulSets,
  DaemonSet: daemonSets,
  ReplicaSet: replicaSets,
  ReplicationController: replicationControllers,
  Job: jobs,
  Rollout: rollouts,
  DeploymentConfig: deploymentConfigs,
} satisfies Record<string, ResourceKind>
type Kind = keyof typeof kinds

/** Kinds whose pods belong to another object in between. */
const between: Partial<Record<Kind, Kind>> = {
  Deployment: 'ReplicaSet',
  Rollout: 'ReplicaSet',
  DeploymentConfig: 'ReplicationController',
}

export type ChosenBy = Exclude<Kind, 'ReplicationController'>
/** By which workloads targets can be chosen. */
export const chosenBy = Object.keys(kinds).filter(
  (kind) => kind !== 'ReplicationController',
) as ChosenBy[]

const call = () => ({ signal: AbortSignal.timeout(60_000) })

/** Serves kinds of others, with whatever they say; a kind is served a moment after its definition is there. */
export async function serveOthers(kube: KubeClient): Promise<void> {
  for (const kind of ['Rollout', 'DeploymentConfig'] as const) {
    const { group, version, plural } = kinds[kind]
    const free = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
    const spec = {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema: free } }],
    }
    const metadata = { name: `${plural}.${group}` }
    await kube.create(resourcePath(customResourceDefinitions), { metadata, spec }, call())
    const isServed = () =>
      kube.list(resourcePath(kinds[kind]), call()).then(
        () => true,
        () => false,
      )
    for (let tries = 0; !(await isServed()); tries++) {
      if (tries === 200) throw new Error(`${metadata.name} is not served`)
      await new Promise((done) => setTimeout(done, 100))
    }
  }
}

type Made = KubeObject & { spec?: { template?: { metadata?: { labels?: Labels } } } }
type Labels = Record<string, string>

const container = { name: 'c', image: 'none' }

function specOf(kind: Kind, name: string): object {
  const labels = { app: name }
  const template = { metadata: { labels }, spec: { containers: [container] } }
  const selector = { matchLabels: labels }
  switch (kind) {
    case 'Job':
      return {
        template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } },
      }
    case 'DaemonSet':
      return { selector, template }
    case 'StatefulSet':
      return { replicas: 1, serviceName: name, selector, template }
    case 'ReplicationController':
    case 'DeploymentConfig':
      return { replicas: 1, selector: labels, template }
    default:
      return { replicas: 1, selector, template }
  }
}

const owning = (kind: Kind, { metadata: { name, uid } }: Made) => ({
  ownerReferences: [{ apiVersion: apiVersionOf(kinds[kind]), kind, name, uid, controller: true }],
})

/** What pods of a workload carry. */
export type OfWorkload = { labels: Labels; ownerReferences: object[] }

/** A workload without pods, with what stands between the two; resolves with what its own controller would give to each pod. */
export async function makeWorkload(
  kube: KubeClient,
  kind: Kind,
  { name, namespace }: { name: string; namespace: string },
): Promise<OfWorkload> {
  const create = (of: Kind, metadata: object) =>
    kube.create<Made>(
      resourcePath({ ...kinds[of], namespace }),
      {
        apiVersion: apiVersionOf(kinds[of]),
        kind: of,
        metadata: { name, ...metadata },
        spec: specOf(of, name),
      },
      call(),
    )
  const middle = between[kind]
  const top = await create(kind, {})
  const owner = middle ? await create(middle, owning(kind, top)) : top
  // The API server gives a Job labels of its own.
  const labels = owner.spec?.template?.metadata?.labels ?? {}
  return { labels, ...owning(middle ?? kind, owner) }
}

/** A workload with one pod. */
export async function makeOwner(
  kube: KubeClient,
  kind: Kind,
  { name, namespace }: { name: string; namespace: string },
): Promise<void> {
  const given = await makeWorkload(kube, kind, { name, namespace })
  const pod = {
    metadata: { name: `${name}-1`, ...given },
    spec: { containers: [container], automountServiceAccountToken: false },
  }
  await kube.create(resourcePath({ ...pods, namespace }), pod, call())
}
