import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { faultCapabilities } from '../model/fault-capabilities.generated.ts'
import { capabilityLabel, warmLabels, warmPod } from '../model/fault-pod-spec.ts'
import { haltConfigMap } from '../model/halt.ts'
import { type ControlPlane, startControlPlane } from '../test-e2e/cluster/control-plane.ts'
import { apiServer } from '../test-e2e/setup/worker.ts'
import { chartFolder, helm, kubectl, type Rendered, renderChart } from './testing/chart.ts'

const namespace = 'chart-tests'

beforeAll(async () => {
  await kubectl(apiServer().kubeconfig, ['create', 'namespace', namespace])
})

const list = (items: Rendered[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
const dryRun = (items: Rendered[]) =>
  kubectl(
    apiServer().kubeconfig,
    ['apply', '--dry-run=server', '-n', namespace, '-f', '-'],
    list(items),
  )
const named = (items: Rendered[], kind: string, name: string) => {
  const found = items.find((o) => o.kind === kind && o.metadata.name === name)
  if (!found) throw new Error(`the chart has no ${kind} ${name}`)
  return found
}

type Container = {
  image: string
  args: string[]
  env: { name: string; value?: string }[]
  envFrom?: unknown[]
  resources: { limits?: Record<string, string>; requests?: Record<string, string> }
  securityContext: unknown
}
type PodSpec = { containers: Container[]; securityContext: unknown }
const podOf = (object: Rendered) =>
  (object['spec'] as { template: { spec: PodSpec } }).template.spec
const dataOf = (object: Rendered, key: string) => object[key] as Record<string, string>

describe('the chart', () => {
  test('passes helm lint', async () => {
    expect(await helm('lint', '--strict', chartFolder)).toContain('0 chart(s) failed')
  })

  const variants: [string, string[]][] = [
    ['with its defaults', []],
    [
      'with storage, accounts and an image as one text',
      [
        'image=registry.example/chaos:1',
        'server.persistence.enabled=true',
        'server.persistence.storageClass=fast',
        'experiment.accounts[0].namespace=chart-tests',
        'experiment.accounts[0].targets={chart-tests}',
        'tolerations[0].operator=Exists',
        'imagePullSecrets[0].name=pull',
      ],
    ],
    ['with a warm fault pod on every node', ['runner.warm=daemonset']],
    [
      'without server, drain and priority class',
      ['server.enabled=false', 'uninstall.drain=false', 'faultPods.priorityClass.create=false'],
    ],
  ]
  test.each(variants)('%s is what an API server takes', async (_, set) => {
    const items = await renderChart(namespace, set)
    const said = await dryRun(items)
    expect(said.trim().split('\n')).toHaveLength(items.length)
    expect(said).toContain('deployment.apps/chaosplane-operator created')
  })

  test('begins with the kill switch off, and leaves nothing of it behind', async () => {
    const map = named(await renderChart(namespace), 'ConfigMap', haltConfigMap)
    expect(map.metadata).not.toHaveProperty('annotations')
  })

  test('runs every program without rights on the node', async () => {
    const items = await renderChart(namespace)
    const programs = items.filter(({ kind }) => kind === 'Deployment' || kind === 'Job')
    expect(programs.map(({ metadata }) => metadata.name).sort()).toEqual([
      'chaosplane-drain',
      'chaosplane-operator',
      'chaosplane-runner',
      'chaosplane-server',
    ])
    for (const program of programs) {
      const { containers, securityContext } = podOf(program)
      expect(securityContext).toMatchObject({
        runAsNonRoot: true,
        runAsUser: 65532,
        seccompProfile: { type: 'RuntimeDefault' },
      })
      for (const { securityContext: own, resources } of containers) {
        expect(own).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        expect(resources.limits?.['cpu']).toBeUndefined()
        expect(resources.requests?.['cpu']).toBeDefined()
      }
    }
  })

  test('keeps warm fault pods that may do what those of a run may, and nothing else', async () => {
    const items = await renderChart(namespace, [
      'runner.warm=daemonset',
      'image=i:1',
      'imagePullSecrets[0].name=pull',
    ])
    const sets = items.filter(({ kind }) => kind === 'DaemonSet')
    const needed = new Set(Object.values(faultCapabilities).map(capabilityLabel))
    const made = new Map(
      sets.map((set) => {
        const { template } = set['spec'] as { template: Rendered }
        return [template.metadata.labels?.[warmLabels.capabilities] ?? '', template] as const
      }),
    )
    expect([...made.keys()].sort()).toEqual([...needed].sort())
    for (const [label, template] of made) {
      const pod = warmPod({
        name: '',
        namespace,
        node: 'n',
        image: 'i:1',
        imagePullPolicy: 'IfNotPresent',
        imagePullSecrets: ['pull'],
        capabilities: label.split('.'),
        owner: null,
        priorityClassName: 'chaosplane-fault-pods',
        idleMs: 0,
      }) as Rendered
      // a DaemonSet chooses the node, and starts again whatever ends
      const { nodeName, restartPolicy, ...spec } = pod['spec'] as Record<string, unknown>
      expect({ nodeName, restartPolicy }).toEqual({ nodeName: 'n', restartPolicy: 'OnFailure' })
      expect(template['spec']).toEqual(spec)
      expect(template.metadata.labels).toEqual(pod.metadata.labels)
      expect(template.metadata.annotations).toEqual(pod.metadata.annotations)
    }
    const others = [[], ['runner.warm=idle']]
    for (const set of others)
      expect((await renderChart(namespace, set)).map(({ kind }) => kind)).not.toContain('DaemonSet')
  })

  test.each<[string[], string]>([
    [[], ''],
    [['imagePullSecrets[0].name=one', 'imagePullSecrets[1].name=two'], 'one,two'],
  ])('with %j tells who makes pods the pull secrets', async (set, value) => {
    const items = await renderChart(namespace, set)
    for (const name of ['chaosplane-operator', 'chaosplane-runner']) {
      const [program] = podOf(named(items, 'Deployment', name)).containers
      expect(program?.env).toContainEqual({ name: 'IMAGE_PULL_SECRETS', value })
    }
  })

  test('gives the runner its keys, and the same image to all', async () => {
    const items = await renderChart(namespace, ['image.repository=r', 'image.tag=7'])
    const [runner] = podOf(named(items, 'Deployment', 'chaosplane-runner')).containers
    expect(runner?.envFrom).toEqual([
      { secretRef: { name: 'chaosplane-harness' } },
      { configMapRef: { name: 'chaosplane-harness' } },
    ])
    expect(runner?.env).toContainEqual({ name: 'IMAGE', value: 'r:7' })
    expect(Object.keys(dataOf(named(items, 'Secret', 'chaosplane-harness'), 'stringData'))).toEqual(
      [
        'ACCOUNT_ID',
        'ACCESS_KEY',
        'LOG_SERVICE_TOKEN',
        'LOG_SERVICE_URL',
        'INDIRECT_UPLOAD',
        'SKIP_SECURE_VERIFY',
        'PROXY_URL',
        'HTTP_PROXY',
        'HTTPS_PROXY',
        'NO_PROXY',
        'CLIENT_CERTIFICATE_SECRET',
        'CLIENT_CERTIFICATE_FILE_PATH',
        'CLIENT_CERTIFICATE_KEY_FILE_PATH',
        'CLIENT_CERTIFICATE_PATH',
        'CLIENT_CERTIFICATE_KEY_PATH',
      ],
    )
    const keys = dataOf(named(items, 'ConfigMap', 'chaosplane-harness'), 'data')
    expect(Object.keys(keys)).toEqual([
      'EMISSARY_URL',
      'INSECURE_SKIP_VERIFY',
      'ORG_ID',
      'PROJECT_ID',
      'ENVIRONMENT_ID',
      'INFRA_ID',
      'CORRELATION_ID',
      'DDCR_ENDPOINT',
      'KUBERNETES_INFRA_SERVICE_ENDPOINT',
      'LOG_SERVICE_ENDPOINT',
      'LOG_SERVICE_ENABLED',
      'LOG_WATCHER_IMAGE',
    ])
    expect(keys).toMatchObject({
      KUBERNETES_INFRA_SERVICE_ENDPOINT: `http://chaosplane-server.${namespace}:8080/chaos/kserver/api`,
      LOG_SERVICE_ENDPOINT: `http://chaosplane-server.${namespace}:8080/log-service`,
    })
  })

  test('reports to nobody when neither a server nor an endpoint is wanted', async () => {
    const items = await renderChart(namespace, ['server.enabled=false'])
    const keys = dataOf(named(items, 'ConfigMap', 'chaosplane-harness'), 'data')
    expect(keys).toMatchObject({ KUBERNETES_INFRA_SERVICE_ENDPOINT: '', LOG_SERVICE_ENDPOINT: '' })
  })

  test('keeps the resources of users when it is removed', async () => {
    const crds = (await renderChart(namespace)).filter((o) => o.kind === 'CustomResourceDefinition')
    expect(crds).toHaveLength(2)
    for (const { metadata } of crds)
      expect(metadata.annotations?.['helm.sh/resource-policy']).toBe('keep')
  })

  test('tells the runner what is protected', async () => {
    const env = async (...set: string[]) => {
      const items = await renderChart(namespace, set)
      const [runner] = podOf(named(items, 'Deployment', 'chaosplane-runner')).containers
      return Object.fromEntries(
        (runner?.env ?? []).flatMap((e) => (e.value === undefined ? [] : [[e.name, e.value]])),
      )
    }
    expect(await env()).toMatchObject({
      ALLOWED_NAMESPACES: '',
      DENIED_NAMESPACES: 'kube-system',
      MAX_TARGETS_PER_EXPERIMENT: '0',
      MAX_TARGETS_PERCENT: '100',
      MAX_TARGETS_PER_CLUSTER: '0',
      MAX_TARGETS_PERCENT_OF_CLUSTER: '100',
      MIN_HEALTHY: '0',
    })
    const lists = ['protection.namespaces.allow={demo,shop}', 'protection.namespaces.deny=null']
    const limits = ['protection.maxTargets.perCluster=1000000', 'protection.minHealthy=50%']
    expect(await env(...lists, ...limits)).toMatchObject({
      ALLOWED_NAMESPACES: 'demo,shop',
      DENIED_NAMESPACES: '',
      MAX_TARGETS_PER_CLUSTER: '1000000',
      MIN_HEALTHY: '50%',
    })
  })

  test.each([
    ['a misspelt value', 'runner.replica=2', 'replica'],
    ['a number that is too small', 'operator.replicas=0', 'replicas'],
    ['a share of more than all', 'protection.minHealthy=101%', 'minHealthy'],
    ['an endpoint that is no URL', 'harness.infraServiceEndpoint=kserver', 'infraServiceEndpoint'],
  ])('refuses %s by its path', async (_, set, path) => {
    await expect(renderChart(namespace, [set])).rejects.toThrow(path)
  })
})

describe('helm install', () => {
  // Its own API server: what other tests leave in the common one would belong to nobody's release.
  let plane: ControlPlane
  beforeAll(async () => {
    plane = await startControlPlane()
  })
  afterAll(() => plane?.down())

  test('keeps generated keys over an upgrade, and the CRDs after the end', async () => {
    const place = ['-n', namespace, '--kubeconfig', plane.kubeconfig]
    const release = ['chaosplane', chartFolder, ...place]
    const get = (...args: string[]) => kubectl(plane.kubeconfig, ['get', ...args])
    const secret = async () =>
      JSON.parse(await get('secret', 'chaosplane-harness', '-n', namespace, '-o', 'json'))
        .data as Record<string, string>
    await helm('install', ...release, '--create-namespace')
    const first = await secret()
    expect(Buffer.from(first['ACCESS_KEY'] ?? '', 'base64')).toHaveLength(32)
    await helm('upgrade', ...release, '--set', 'logLevel=debug')
    const second = await secret()
    expect(second['ACCESS_KEY']).toBe(first['ACCESS_KEY'])
    expect(second['LOG_SERVICE_TOKEN']).toBe(first['LOG_SERVICE_TOKEN'])
    // nothing runs pods here, so the hook could not end
    await helm('uninstall', 'chaosplane', ...place, '--no-hooks')
    expect((await get('crd', '-o', 'name')).trim().split('\n')).toHaveLength(2)
  })
})
