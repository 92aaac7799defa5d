import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import {
  deploymentConfigs,
  namespaces,
  pods,
  type ResourceKind,
  resourcePath,
  rollouts,
} from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { WorkloadKind } from '../../model/plan.ts'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import { taskPlan } from '../engine/testing.ts'
import {
  type ChosenBy,
  chosenBy,
  makeWorkload,
  type OfWorkload,
  serveOthers,
} from '../testing/workloads.ts'
import { findTargetsOf, presentTargets } from './look.ts'

const namespace = 'look-tests'
const signal = AbortSignal.timeout(120_000)
const call = { signal }
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
let kube: KubeClient

const containers = [{ name: 'app', image: 'a' }]

const make = (of: ResourceKind, body: object) =>
  kube.create<KubeObject>(resourcePath({ ...of, namespace }), body, call)

async function makePod(name: string, given: Partial<OfWorkload>): Promise<void> {
  const body = {
    metadata: { name, ...given },
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
async function makeFamily(kind: ChosenBy): Promise<void> {
  const name = nameOf(kind)
  const given = await makeWorkload(kube, kind, { name, namespace })
  await makePod(`${name}-1`, given)
  await makePod(`${name}-2`, given)
  await makePod(`${name}-stranger`, { labels: given.labels })
}

const nameOf = (kind: ChosenBy): string => `the-${kind.toLowerCase()}`

const chosen = async (kind: ChosenBy, account = 'picker') => {
  const id = kind.toLowerCase() as WorkloadKind
  const workloads = [{ kind: id, namespace, names: [nameOf(kind)], labels: '' }]
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
  const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
  kube = createKubeClient({ config, userAgent: 'tests/1' })
  await kube.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
  await serveOthers(kube)
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
  it.each(chosenBy)('%s: its own pods, and no stranger', async (kind) => {
    await makeFamily(kind)
    expect(await chosen(kind)).toEqual([`${nameOf(kind)}-1`, `${nameOf(kind)}-2`])
  })

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
      await makePod(name, { labels: { app: name } })
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
    await expect(chosen('Deployment', 'nobody')).rejects.toThrow(
      `service account ${namespace}/nobody may not get deployments in namespace ${namespace}`,
    )
  })
})
