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

/** By which workloads targets can be chosen. */
export const chosenBy = Object.keys(kinds).filter(
  (kind) => kind !== 'ReplicationController',
) as Exclude<Kind, 'ReplicationController'>[]

const call = () => ({ signal: AbortSignal.timeout(60_000) })

/** Serves kinds of others, with whatever they say. */
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

/** A workload with one pod, which it controls as its own controller would have it. */
export async function makeOwner(
  kube: KubeClient,
  kind: Kind,
  { name, namespace }: { name: string; namespace: string },
): Promise<void> {
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
  const pod = {
    metadata: { name: `${name}-1`, labels, ...owning(middle ?? kind, owner) },
    spec: { containers: [container], automountServiceAccountToken: false },
  }
  await kube.create(resourcePath({ ...pods, namespace }), pod, call())
}
