import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKubeClient, type KubeClient } from '../../../lib/kube/client.ts'
import { loadKubeConfig } from '../../../lib/kube/config.ts'
import { configMaps, deployments, namespaces, pods, resourcePath } from '../../../lib/kube/paths.ts'
import type { K8sInputs, ProbeOutcome } from '../../../model/probe.ts'
import { apiServer } from '../../../test-e2e/setup/worker.ts'
import { evaluateProbe } from '../evaluate.ts'
import { k8sPlan, probeIo } from '../test-plans.ts'

const namespace = 'k8s-probe'
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
const signal = AbortSignal.timeout(120_000)
const call = { signal }
const account = `system:serviceaccount:${namespace}:looker`
let kube: KubeClient

const make = (plural: { group: string; version: string; plural: string }, body: object) =>
  kube.create(resourcePath({ ...plural, namespace }), body, call)

async function makePod(name: string, ready: boolean): Promise<void> {
  await make(pods, {
    metadata: { name, labels: { app: 'shop', tier: name } },
    spec: { containers: [{ name: 'a', image: 'a' }], automountServiceAccountToken: false },
  })
  await kube.mergePatch(
    resourcePath({ ...pods, namespace, name, subresource: 'status' }),
    {
      status: {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      },
    },
    call,
  )
}

async function makeDeployment(): Promise<void> {
  const labels = { app: 'web' }
  await make(deployments, {
    metadata: { name: 'web', labels },
    spec: {
      replicas: 3,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: 'a', image: 'a' }] },
      },
    },
  })
  const path = resourcePath({ ...deployments, namespace, name: 'web', subresource: 'status' })
  await kube.mergePatch(path, { status: { replicas: 3, readyReplicas: 2 } }, call)
}

beforeAll(async () => {
  const file = apiServer().kubeconfig
  kube = createKubeClient({ config: loadKubeConfig({ file, env: {} }), userAgent: 'tests/1' })
  await kube.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
  await make(
    { group: '', version: 'v1', plural: 'serviceaccounts' },
    { metadata: { name: 'default' } },
  )
  await make(
    { ...rbac, plural: 'roles' },
    {
      metadata: { name: 'looker' },
      rules: [
        { apiGroups: [''], resources: ['pods', 'configmaps'], verbs: ['get', 'list'] },
        { apiGroups: ['apps'], resources: ['deployments'], verbs: ['list'] },
      ],
    },
  )
  await make(
    { ...rbac, plural: 'rolebindings' },
    {
      metadata: { name: 'looker' },
      roleRef: { apiGroup: rbac.group, kind: 'Role', name: 'looker' },
      subjects: [{ kind: 'ServiceAccount', name: 'looker', namespace }],
    },
  )
  await makePod('one', true)
  await makePod('two', false)
  await makeDeployment()
  for (let i = 0; i < 3; i++) await make(configMaps, { metadata: { name: `map-${i}` } })
})
afterAll(() => kube?.close())

const look = (inputs: Partial<K8sInputs>, as: string | undefined = account) =>
  evaluateProbe(k8sPlan({ namespace, ...inputs }), probeIo({ kube, as }), signal)

type Case = [inputs: Partial<K8sInputs>, outcome: ProbeOutcome['outcome'], detail: RegExp]
const absent = { operation: 'absent' } as const
const web = { group: 'apps', resource: 'deployments', labelSelector: 'app=web' }
const cases: Record<string, Case> = {
  'pods by label': [{ labelSelector: 'app=shop' }, 'passed', /^2 pods in namespace k8s-probe/],
  'a set-based selector': [{ labelSelector: 'tier in (one)' }, 'passed', /^1 pods .*\(one\)/],
  'pods by field': [{ fieldSelector: 'metadata.name=one' }, 'passed', /^1 /],
  'label and field are AND': [
    { labelSelector: 'tier=two', fieldSelector: 'metadata.name=one' },
    'failed',
    /^0 .* expected at least 1\.$/,
  ],
  'fewer than the minimum': [{ labelSelector: 'app=shop', minimum: 3 }, 'failed', /at least 3\./],
  'enough are ready': [{ labelSelector: 'app=shop', ready: true }, 'passed', /, 1 ready$/],
  'running is not ready': [
    { labelSelector: 'app=shop', ready: true, minimum: 2 },
    'failed',
    /1 ready, expected at least 2 ready\.$/,
  ],
  'ready replicas of a workload': [{ ...web, ready: true, minimum: 2 }, 'passed', /2 ready$/],
  'too few ready replicas': [{ ...web, ready: true, minimum: 3 }, 'failed', /expected at least 3/],
  'objects by name': [{ resourceNames: ['one', 'two'] }, 'passed', /named one, two/],
  'one of the names is missing': [
    { resourceNames: ['one', 'three'] },
    'failed',
    /missing: three\.$/,
  ],
  'a name that the labels exclude': [
    { resourceNames: ['one'], labelSelector: 'tier=two' },
    'failed',
    /missing: one/,
  ],
  'absent and nothing there': [{ ...absent, resourceNames: ['three'] }, 'passed', /^0 /],
  'absent by label': [{ ...absent, labelSelector: 'app=nobody' }, 'passed', /^0 /],
  'absent although it is there': [
    { ...absent, labelSelector: 'app=shop' },
    'failed',
    /expected none/,
  ],
  'no right to list': [
    { resource: 'services' },
    'error',
    /k8s-probe:looker may not list services in namespace k8s-probe; grant it by a Role/,
  ],
  'no right to get': [
    { group: 'apps', resource: 'deployments', resourceNames: ['web'] },
    'error',
    /may not get deployments\.apps in namespace k8s-probe/,
  ],
  'absent without the right to look is not absent': [
    { ...absent, resource: 'services' },
    'error',
    /may not list services/,
  ],
  'no right in the whole cluster': [
    { namespace: '' },
    'error',
    /may not list pods in the whole cluster; grant it by a ClusterRole/,
  ],
  'a selector that cannot be read': [{ labelSelector: 'a in (' }, 'error', /unable to parse/],
}

describe('a k8s probe', () => {
  it.each(Object.entries(cases))('%s', async (_, [inputs, outcome, detail]) => {
    const seen = await look(inputs)
    expect(seen).toMatchObject({ outcome })
    expect(seen.detail).toMatch(detail)
  })

  it.each([
    ['listed', {}],
    ['asked by name', { resourceNames: ['x'] }],
    ['absent', absent],
  ])('is an error for a resource that the API server does not know (%s)', async (_, inputs) => {
    const unknown = { group: 'nobody.example', version: 'v1', resource: 'things' }
    const seen = await evaluateProbe(
      k8sPlan({ ...unknown, namespace, ...inputs }),
      probeIo({ kube }),
      signal,
    )
    expect(seen).toMatchObject({ outcome: 'error', trouble: { code: 'K8S_PROBE_ERROR' } })
    expect(seen.detail).toMatch(/does not know things\.nobody\.example in version v1/)
  })

  it('finds a name beyond the first page', async () => {
    const many = Array.from({ length: 510 }, (_, i) => `page-${String(i).padStart(4, '0')}`)
    for (let at = 0; at < many.length; at += 30)
      await Promise.all(
        many
          .slice(at, at + 30)
          .map((name) => make(configMaps, { metadata: { name, labels: { page: 'a' } } })),
      )
    const last = { resource: 'configmaps', labelSelector: 'page=a', resourceNames: ['page-0509'] }
    expect(await look(last)).toMatchObject({ outcome: 'passed' })
    const all = { resource: 'configmaps', labelSelector: 'page=a', minimum: 510 }
    expect(await look(all)).toMatchObject({ outcome: 'passed' })
    expect(await look({ ...all, minimum: 511 })).toMatchObject({ outcome: 'failed' })
  })
})
