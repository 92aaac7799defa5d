import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import {
  apiVersionOf,
  customResourceDefinitions,
  daemonSets,
  deploymentConfigs,
  deployments,
  jobs,
  namespaces,
  pods,
  type ResourceKind,
  replicaSets,
  replicationControllers,
  resourcePath,
  rollouts,
  statefulSets,
} from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { WorkloadKind } from '../../model/plan.ts'
import { taskPlan } from '../engine/testing.ts'
import { findTargetsOf, presentTargets } from './look.ts'

const namespace = 'look-tests'
const signal = AbortSignal.timeout(120_000)
const call = { signal }
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
let kube: KubeClient

/** Kinds of the workload, of what stands between it and its pods, and whether its selector is a plain map. */
const families: Partial<
  Record<
    WorkloadKind,
    { kind: string; of: ResourceKind; between?: [string, ResourceKind]; plain?: true }
  >
> = {
  deployment: { kind: 'Deployment', of: deployments, between: ['ReplicaSet', replicaSets] },
  rollout: { kind: 'Rollout', of: rollouts, between: ['ReplicaSet', replicaSets] },
  deploymentconfig: {
    kind: 'DeploymentConfig',
    of: deploymentConfigs,
    between: ['ReplicationController', replicationControllers],
    plain: true,
  },
  statefulset: { kind: 'StatefulSet', of: statefulSets },
  daemonset: { kind: 'DaemonSet', of: daemonSets },
  replicaset: { kind: 'ReplicaSet', of: replicaSets },
  job: { kind: 'Job', of: jobs },
}

/** A bare CRD of somebody else's kind: no controller stands behind it. */
const bareCrd = ({ group, version, plural }: ResourceKind, kind: string) => ({
  metadata: { name: `${plural}.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: { plural, singular: kind.toLowerCase(), kind },
    versions: [
      {
        name: version,
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
    ],
  },
})

type Owner = { apiVersion: string; kind: string; name: string; uid: string; controller: true }
const ownerOf = (object: KubeObject, kind: string, of: ResourceKind): Owner => ({
  apiVersion: apiVersionOf(of),
  kind,
  name: object.metadata.name,
  uid: object.metadata.uid,
  controller: true,
})

const containers = [{ name: 'app', image: 'a' }]

async function make(of: ResourceKind, body: object): Promise<KubeObject> {
  const path = resourcePath({ ...of, namespace })
  // A kind is served a moment after its definition is there.
  for (let tries = 0; ; tries++)
    try {
      return await kube.create<KubeObject>(path, body, call)
    } catch (error) {
      if (tries > 50 || !String(error).includes('404')) throw error
      await new Promise((done) => setTimeout(done, 100))
    }
}

function workload(name: string, selector: object, parents: Owner[]): object {
  const labels = { app: name.replace(/-middle$/, '') }
  return {
    metadata: { name, labels, ownerReferences: parents },
    spec: {
      selector,
      serviceName: undefined,
      template: { metadata: { labels }, spec: { containers, restartPolicy: 'Always' } },
    },
  }
}

async function makePod(name: string, app: string, owner: Owner[]): Promise<void> {
  const body = {
    metadata: { name, labels: { app }, ownerReferences: owner },
    spec: { containers, nodeName: 'n1', automountServiceAccountToken: false },
  }
  await make(pods, body)
  const containerID = `containerd://${'a'.repeat(60)}${name.length}`
  const state = { running: { startedAt: '2026-01-01T00:00:00Z' } }
  const status = { name: 'app', image: 'a', imageID: '', ready: true, restartCount: 0 }
  await kube.mergePatch(
    resourcePath({ ...pods, namespace, name, subresource: 'status' }),
    { status: { phase: 'Running', containerStatuses: [{ ...status, containerID, state }] } },
    call,
  )
}

/** The workload, two pods of its own, and one with its labels that belongs to nobody. */
async function makeFamily(id: WorkloadKind): Promise<void> {
  const family = families[id]
  if (!family) throw new Error(id)
  const name = `the-${id}`
  const matchLabels = { app: name }
  const selector = family.plain ? matchLabels : { matchLabels }
  const body = workload(name, selector, []) as { spec: Record<string, unknown> }
  if (id === 'job') {
    const pod = { metadata: { labels: matchLabels }, spec: { containers, restartPolicy: 'Never' } }
    body.spec = { suspend: true, manualSelector: true, selector, template: pod }
  }
  if (id === 'statefulset') body.spec['serviceName'] = name
  const type = { apiVersion: apiVersionOf(family.of), kind: family.kind }
  const top = await make(family.of, { ...type, ...body })
  let owner = ownerOf(top, family.kind, family.of)
  if (family.between) {
    const [kind, of] = family.between
    const plain = of.plural === 'replicationcontrollers' ? matchLabels : { matchLabels }
    const middle = await make(of, workload(`${name}-middle`, plain, [owner]))
    owner = ownerOf(middle, kind, of)
  }
  await makePod(`${name}-1`, name, [owner])
  await makePod(`${name}-2`, name, [owner])
  await makePod(`${name}-stranger`, name, [])
}

const chosen = async (id: WorkloadKind, account = 'picker') => {
  const workloads = [{ kind: id, namespace, names: [`the-${id}`], labels: '' }]
  const selection = {
    workloads,
    pods: [],
    nodes: [],
    nodeLabel: '',
    container: '',
    share: 'all' as const,
  }
  const found = await findTargetsOf(taskPlan('t', { selection }), 0, {
    kube,
    account: { namespace, name: account },
    seed: 1,
    signal,
  })
  return found.map((t) => t.name).sort()
}

beforeAll(async () => {
  const config = loadKubeConfig({ file: inject('apiKubeconfig'), env: {} })
  kube = createKubeClient({ config, userAgent: 'tests/1' })
  await kube.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
  for (const [of, kind] of [
    [rollouts, 'Rollout'],
    [deploymentConfigs, 'DeploymentConfig'],
  ] as const)
    await kube.create(resourcePath(customResourceDefinitions), bareCrd(of, kind), call)
  const rules = [
    { apiGroups: [''], resources: ['pods', 'replicationcontrollers'], verbs: ['get', 'list'] },
    {
      apiGroups: ['apps', 'batch', rollouts.group, deploymentConfigs.group],
      resources: ['*'],
      verbs: ['get', 'list'],
    },
  ]
  await make({ ...rbac, plural: 'roles' }, { metadata: { name: 'picker' }, rules })
  const binding = {
    metadata: { name: 'picker' },
    roleRef: { apiGroup: rbac.group, kind: 'Role', name: 'picker' },
    subjects: [{ kind: 'ServiceAccount', name: 'picker', namespace }],
  }
  await make({ ...rbac, plural: 'rolebindings' }, binding)
})
afterAll(() => kube?.close())

describe('the owner chain on a real API server', () => {
  it.each(Object.keys(families) as WorkloadKind[])(
    '%s: its own pods, and no stranger',
    async (id) => {
      await makeFamily(id)
      expect(await chosen(id)).toEqual([`the-${id}-1`, `the-${id}-2`])
    },
  )

  describe('a container that waits for its next life', () => {
    const name = 'in-a-loop'
    const look = (fault: string) => {
      const workloads = [{ kind: 'pod' as const, namespace, names: [], labels: `app=${name}` }]
      const rest = { pods: [], nodes: [], nodeLabel: '', container: '', share: 'all' as const }
      const task = taskPlan('t', { fault, selection: { workloads, ...rest } })
      const parts = { kube, account: { namespace, name: 'picker' }, signal }
      return {
        found: () => findTargetsOf(task, 0, { ...parts, seed: 1 }),
        present: () => presentTargets(task, parts),
      }
    }
    const waits = (more: object) =>
      kube.mergePatch(
        resourcePath({ ...pods, namespace, name, subresource: 'status' }),
        {
          status: {
            phase: 'Running',
            containerStatuses: [
              {
                ...{ name: 'app', image: 'a', imageID: '', ready: false, restartCount: 3 },
                state: { waiting: { reason: 'CrashLoopBackOff' } },
                ...more,
              },
            ],
          },
        },
        call,
      )

    it('is hit by what is done to its pod, and by nothing else', async () => {
      await makePod(name, name, [])
      await waits({ containerID: 'containerd://ended' })
      const hit = [{ name, container: 'app', containerId: 'ended' }]
      expect(await look('pod-network-loss').found()).toMatchObject(hit)
      expect(await look('pod-network-loss').present()).toMatchObject(hit)
      await expect(look('pod-cpu-hog').found()).rejects.toThrow(/is not running; wait until it is/)
      expect(await look('pod-cpu-hog').present()).toEqual([])
    })

    it('is hit by nothing before its first one: nobody knows whether its network is there', async () => {
      await waits({ containerID: '', state: { waiting: { reason: 'ContainerCreating' } } })
      await expect(look('pod-network-loss').found()).rejects.toThrow(/is not running; wait/)
      expect(await look('pod-network-loss').present()).toEqual([])
    })
  })

  it('names verb, resource and namespace when the account may not look', async () => {
    await expect(chosen('deployment', 'nobody')).rejects.toThrow(
      `service account ${namespace}/nobody may not get deployments in namespace ${namespace}`,
    )
  })
})
