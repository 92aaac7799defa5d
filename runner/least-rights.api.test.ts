import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chartParts } from '../config/rbac.ts'
import { configOf, installRights } from '../config/testing/account.ts'
import {
  keyOf,
  type Role,
  rbacApi,
  refusals,
  rolePath,
  rulesOf,
  setRules,
  until,
} from '../config/testing/rights.ts'
import { createKubeClient, type KubeClient } from '../lib/kube/client.ts'
import { loadKubeConfig } from '../lib/kube/config.ts'
import {
  chaosExperiments,
  configMaps,
  deployments,
  kubernetesChaosExperiments,
  namespaces,
  networkPolicies,
  nodes,
  pods,
  resourcePath,
  serviceAccounts,
} from '../lib/kube/paths.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import { createLog } from '../lib/log.ts'
import { chaosplaneDocument, litmusDocument } from '../model/compile/fixtures.ts'
import type { Permission } from '../model/fault.ts'
import { type ControlPlane, startControlPlane } from '../test-e2e/cluster/control-plane.ts'
import { applyCrds } from '../test-e2e/setup/api-server.ts'
import { faultCatalogue } from './faults/catalogue.generated.ts'
import { runRunner } from './program.ts'
import { settingsFrom } from './settings.ts'

/** The runner as a program with the chart's rights, on an API server where nobody else acts. */
let plane: ControlPlane
let tests: KubeClient
let config: Awaited<ReturnType<typeof configOf>>
const home = 'product'
const runnerUser = `system:serviceaccount:${home}:chaosplane-runner`
const call = () => ({ signal: AbortSignal.timeout(60_000) })
const parts = chartParts(Object.values(faultCatalogue))

beforeAll(async () => {
  plane = await startControlPlane()
  const { kubeconfig } = plane
  tests = createKubeClient({
    config: loadKubeConfig({ file: kubeconfig, env: {} }),
    userAgent: 'tests/1',
  })
  await applyCrds(kubeconfig)
  for (const name of [home, 'v2', 'demo'])
    await tests.create(resourcePath(namespaces), { metadata: { name } }, call())
  await installRights(kubeconfig, home)
  const account = { metadata: { name: 'litmus' } }
  await tests.create(resourcePath({ ...serviceAccounts, namespace: 'v2' }), account, call())
  const binding = {
    metadata: { name: 'litmus' },
    roleRef: { apiGroup: rbacApi.group, kind: 'ClusterRole', name: 'chaosplane-experiment' },
    subjects: [{ kind: 'ServiceAccount', name: 'litmus', namespace: 'v2' }],
  }
  await tests.create(resourcePath({ ...rbacApi, plural: 'clusterrolebindings' }), binding, call())
  config = await configOf({ kubeconfig, admin: tests, namespace: home, name: 'chaosplane-runner' })
  await tests.create(resourcePath(nodes), { metadata: { name: 'n1' } }, call())
  const alive = {
    type: 'k8sProbe',
    'k8sProbe/inputs': {
      version: 'v1',
      resource: 'pods',
      namespace: 'demo',
      operation: 'present',
      labelSelector: 'app=doomed',
    },
    runProperties: { probeTimeout: '2s', interval: '100ms', attempt: 20 },
  }
  const registry = {
    metadata: { name: 'chaosplane-probes' },
    data: { alive: JSON.stringify(alive) },
  }
  await tests.create(resourcePath({ ...configMaps, namespace: 'v2' }), registry, call())
  const owner = {
    metadata: { name: 'chaosplane-runner' },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: 'runner' } },
      template: {
        metadata: { labels: { app: 'runner' } },
        spec: { containers: [{ name: 'c', image: 'none' }] },
      },
    },
  }
  await tests.create(resourcePath({ ...deployments, namespace: home }), owner, call())
  for (const app of ['web', 'policed', 'doomed']) await makeWorkload(app)
})
afterAll(async () => {
  await tests?.close()
  await plane?.down()
})

async function makeWorkload(app: string): Promise<void> {
  const labels = { app }
  const template = {
    metadata: { labels },
    spec: { containers: [{ name: 'c', image: 'none' }], automountServiceAccountToken: false },
  }
  const spec = { replicas: 1, selector: { matchLabels: labels }, template }
  const at = { namespace: 'demo' }
  await tests.create(
    resourcePath({ ...deployments, ...at }),
    { metadata: { name: app }, spec },
    call(),
  )
  await makePod(app)
}
const makePod = async (app: string): Promise<void> => {
  const spec = { containers: [{ name: 'c', image: 'none' }], automountServiceAccountToken: false }
  const path = resourcePath({ ...pods, namespace: 'demo' })
  await tests.create(path, { metadata: { name: `${app}-1`, labels: { app } }, spec }, call())
}

const taint = 'least-rights'
type Told = { text: string; ended: boolean }

/** What the faults change, as it is now. */
async function world() {
  type Node = KubeObject & { spec?: { unschedulable?: boolean; taints?: { key: string }[] } }
  const node = await tests.get<Node>(resourcePath({ ...nodes, name: 'n1' }), call())
  type Deployment = KubeObject & { spec: { replicas: number } }
  const web = { ...deployments, namespace: 'demo', name: 'web' }
  const { spec } = await tests.get<Deployment>(resourcePath(web), call())
  const { items } = await tests.list<KubeObject>(
    resourcePath({ ...networkPolicies, namespace: 'demo' }),
    call(),
  )
  return {
    taints: (node.spec?.taints ?? []).map(({ key }) => key).filter((key) => key === taint),
    cordoned: node.spec?.unschedulable ?? false,
    replicas: spec.replicas,
    policies: items.map(({ metadata }) => metadata.name),
  }
}
const untouched = { taints: [], cordoned: false, replicas: 1, policies: [] }

/** Every API-level fault at once, for half a second each. */
const faults: Record<string, { env: Record<string, string>; workload: string | null }> = {
  'node-taint': { env: { TAINTS: `${taint}=on:NoSchedule`, TARGET_NODE: 'n1' }, workload: null },
  'node-drain': { env: { TARGET_NODE: 'n1' }, workload: null },
  'pod-autoscaler': { env: { REPLICA_COUNT: '3' }, workload: 'web' },
  'pod-network-policy': { env: { POD_AFFECTED_PERCENTAGE: '100' }, workload: 'policed' },
  'pod-delete': { env: { FORCE: 'true' }, workload: 'doomed' },
}
let round = 0

async function createRuns(of: string[]): Promise<string[]> {
  round += 1
  const names = of.map((fault) => `${fault}-${round}`)
  for (const [i, fault] of of.entries()) {
    const { env, workload } = faults[fault] as (typeof faults)[string]
    const at = workload ? [{ kind: 'pod', namespace: 'demo', names: `${workload}-1` }] : null
    const scaled = [{ kind: 'deployment', namespace: 'demo', names: workload }]
    if (fault === 'node-taint') {
      await createTaint(names[i] as string)
      continue
    }
    const document = litmusDocument({
      ...(fault === 'pod-delete'
        ? { task: { probeRef: [{ probeID: 'alive', mode: 'SOT' }] } }
        : {}),
      chaos: { experiment: fault },
      env: { TOTAL_CHAOS_DURATION: '500ms', ...env },
      workloads: fault === 'pod-autoscaler' ? scaled : at,
    })
    const body = { ...document, metadata: { name: names[i], namespace: 'v2' } }
    await tests.create(
      resourcePath({ ...kubernetesChaosExperiments, namespace: 'v2' }),
      body,
      call(),
    )
  }
  return names
}

/** In the other dialect, so that its rules are needed too. */
async function createTaint(name: string): Promise<void> {
  const { spec } = chaosplaneDocument({
    target: { kind: 'Node', names: ['n1'] },
    action: { type: 'node-taint', parameters: { key: taint, value: 'on', effect: 'NoSchedule' } },
    duration: '500ms',
  })
  const annotations = { 'chaos.chaosplane.io/service-account': 'litmus' }
  const body = {
    apiVersion: 'chaos.chaosplane.io/v1alpha1',
    kind: 'ChaosExperiment',
    metadata: { name, namespace: 'v2', annotations },
    spec,
  }
  await tests.create(resourcePath({ ...chaosExperiments, namespace: 'v2' }), body, call())
}

type Experiment = KubeObject & { status?: { run?: { finishedAt?: number } } }

/** What the resources say, and whether all of them are at their end and let go. */
async function look(names: string[]): Promise<Told> {
  const lists = [kubernetesChaosExperiments, chaosExperiments].map((kind) =>
    tests.list<Experiment>(resourcePath({ ...kind, namespace: 'v2' }), call()),
  )
  const items = (await Promise.all(lists)).flatMap((l) => l.items)
  const ours = items.filter(({ metadata }) => names.includes(metadata.name))
  const over = (e: Experiment) =>
    e.status?.run?.finishedAt !== undefined && (e.metadata.finalizers ?? []).length === 0
  return { text: JSON.stringify(ours.map(({ status }) => status)), ended: ours.every(over) }
}

/** There is no controller here: what it would say of the deployment is said in its place. */
async function actAsControllers(signal: AbortSignal): Promise<void> {
  const at = { ...deployments, namespace: 'demo', name: 'web' }
  while (!signal.aborted) {
    const { replicas } = await world()
    const status = { replicas, readyReplicas: replicas }
    await tests.mergePatch(resourcePath({ ...at, subresource: 'status' }), { status }, call())
    const doomed = resourcePath({ ...pods, namespace: 'demo', name: 'doomed-1' })
    if (!(await tests.find(doomed, call()))) await makePod('doomed')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** A life of the runner; what it logs is kept. */
function startRunner(): { log(): string; end(): Promise<string> } {
  const lines: string[] = []
  const stop = new AbortController()
  const settings = settingsFrom({
    POD_NAME: `runner-${randomUUID().slice(0, 8)}`,
    POD_NAMESPACE: home,
    IMAGE: 'chaosplane:test',
    RUNNER_DEPLOYMENT: 'chaosplane-runner',
  })
  const log = createLog({ program: 'runner', level: 'info' }, { write: (l) => lines.push(l) })
  const ran = runRunner(
    { settings, config, log, newId: randomUUID, onReady: () => {} },
    stop.signal,
  ).then(
    () => 'handed over',
    (error: Error) => (stop.signal.aborted ? 'handed over' : `crashed: ${error.message}`),
  )
  return {
    log: () => lines.join(''),
    end: () => {
      stop.abort(new Error('the test ends it'))
      return ran
    },
  }
}

type Outcome = {
  /** refusals that were told while the rule was away */
  told: Set<string>
  /** everything ended after the rule was back */
  ended: boolean
  runner: string
  world: Awaited<ReturnType<typeof world>>
}

/** One rule is away; the faults run; it comes back. */
async function without(role: Role | undefined, but: Permission | undefined) {
  const stop = new AbortController()
  if (role) await setRules(tests, role, but)
  const controllers = actAsControllers(stop.signal)
  const runner = startRunner()
  const names = await createRuns(Object.keys(faults))
  const told = async () => {
    const { text, ended } = await look(names)
    return { ended, refused: refusals(text + runner.log()) }
  }
  const named = ({ refused }: { refused: Set<string> }) =>
    but?.verbs.some((verb) => [...refused].some((r) => r.endsWith(` ${verb} ${but.resource}`))) ??
    false
  await until(async () => {
    const now = await told()
    return now.ended || named(now)
  }, 6_000)
  const { refused } = await told()
  if (role) await setRules(tests, role)
  const ended = await until(async () => (await look(names)).ended, 15_000)
  const after = await world()
  const outcome: Outcome = { told: refused, ended, runner: await runner.end(), world: after }
  stop.abort()
  await controllers
  return { ...outcome, status: (await look(names)).text }
}

type Case = {
  role: string
  path: string
  who: string
  /** rules that nothing here needs, and where they are */
  elsewhere: Record<string, string>
}
const faultPods = 'fault pods need a node: stories'
const cases: Case[] = [
  {
    role: 'runner, cluster',
    path: rolePath('chaosplane-runner'),
    who: runnerUser,
    elsewhere: {
      'subjectaccessreviews.authorization.k8s.io': faultPods,
      'events.events.k8s.io': 'nothing here is worth an Event; what cannot be told is logged',
      'statefulsets.apps': 'the same as deployments',
      'statefulsets/scale.apps': 'the same as deployments/scale',
    },
  },
  {
    role: 'runner, own namespace',
    path: rolePath('chaosplane-runner', home),
    who: runnerUser,
    elsewhere: { pods: faultPods, 'pods/attach': faultPods },
  },
  {
    role: 'experiment',
    path: rolePath('chaosplane-experiment'),
    who: 'v2/litmus',
    elsewhere: {
      namespaces: 'NAMESPACE_SELECTOR alone: tests of pod-network-policy',
      'pods/eviction': 'a node with pods: tests of node-drain',
      'pods/exec': faultPods,
      'statefulsets/scale.apps': 'the same as deployments/scale',
      ...Object.fromEntries(
        [
          'replicationcontrollers',
          'deploymentconfigs.apps.openshift.io',
          'daemonsets.apps',
          'replicasets.apps',
          'statefulsets.apps',
          'rollouts.argoproj.io',
          'jobs.batch',
        ].map((kind) => [kind, 'the same as deployments: tests of selection']),
      ),
    },
  },
]

test('with all of its rules everything runs and nothing is refused', async () => {
  const { told, ended, runner, world: after, status } = await without(undefined, undefined)
  expect([...told]).toEqual([])
  expect({ ended, runner, world: after }, status).toEqual({
    ended: true,
    runner: 'handed over',
    world: untouched,
  })
})

describe.each(cases)('without a rule of "$role"', ({ role, path, who, elsewhere }) => {
  const rights = parts[role] as readonly Permission[]
  const rules = rulesOf({ rights }).map((right) => [keyOf(right), right] as const)

  test('what is tested elsewhere is still a rule', () => {
    expect(rules.map(([key]) => key)).toEqual(expect.arrayContaining(Object.keys(elsewhere)))
  })

  const here = rules.filter(([key]) => !(key in elsewhere))
  test.each(here)('%s: says so, harms nothing, and goes on with it', async (_, right) => {
    const { told, ended, runner, world: after, status } = await without({ path, rights }, right)
    const named = [...told].filter(
      (t) => t.startsWith(`${who} `) && t.endsWith(` ${right.resource}`),
    )
    expect(named, `${[...told]} ${status}`).not.toEqual([])
    expect({ ended, runner, world: after }, status).toEqual({
      ended: true,
      runner: 'handed over',
      world: untouched,
    })
  })
})
