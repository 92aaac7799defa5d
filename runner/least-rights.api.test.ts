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
  events,
  kubernetesChaosExperiments,
  namespaces,
  networkPolicies,
  nodes,
  pods,
  resourcePath,
  serviceAccounts,
  statefulSets,
} from '../lib/kube/paths.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import { createLog } from '../lib/log.ts'
import { chaosplaneDocument, litmusDocument } from '../model/compile/fixtures.ts'
import type { ErrorCode } from '../model/errors.ts'
import type { Permission } from '../model/fault.ts'
import { faultPodLabels, warmPod } from '../model/fault-pod-spec.ts'
import type { RunState } from '../model/state.ts'
import { idleMs } from '../model/warm-pod.ts'
import { type ControlPlane, startControlPlane } from '../test-e2e/cluster/control-plane.ts'
import { applyCrds } from '../test-e2e/setup/api-server.ts'
import { faultCatalogue } from './faults/catalogue.generated.ts'
import { runRunner } from './program.ts'
import { settingsFrom } from './settings.ts'
import { chosenBy, makeOwner, serveOthers } from './testing/workloads.ts'

/** The runner as a program with the chart's rights, on an API server where nobody else acts. */
let plane: ControlPlane
let tests: KubeClient
let config: Awaited<ReturnType<typeof configOf>>
const home = 'product'
const image = 'chaosplane:test'
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
  for (const name of ['n1', 'n2', 'n3'])
    await tests.create(resourcePath(nodes), { metadata: { name } }, call())
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
  await serveOthers(tests)
  for (const kind of chosenBy) {
    const name = `of-${kind.toLowerCase()}`
    await makeOwner(tests, kind, { name, namespace: 'demo' })
  }
  await makePod('peer')
  await tells('peer', { phase: 'Running', podIP: '10.0.0.7', podIPs: [{ ip: '10.0.0.7' }] })
  await makePod('burnt', 'n2')
  await makePod('tenant', 'n3')
  const running = { name: 'c', containerID: 'containerd://c1', state: { running: {} } }
  const more = { image: 'none', imageID: 'none', ready: true, restartCount: 0 }
  await tells('burnt', { phase: 'Running', containerStatuses: [{ ...running, ...more }] })
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
const makePod = async (app: string, nodeName?: string): Promise<void> => {
  const spec = {
    containers: [{ name: 'c', image: 'none' }],
    automountServiceAccountToken: false,
    // There is no kubelet: without a grace period it is gone as soon as it is evicted.
    ...(nodeName ? { nodeName, terminationGracePeriodSeconds: 0 } : {}),
  }
  const path = resourcePath({ ...pods, namespace: 'demo' })
  await tests.create(path, { metadata: { name: `${app}-1`, labels: { app } }, spec }, call())
}

/** There is no kubelet here: what it would say of a pod is said in its place. */
const tells = (app: string, status: object) =>
  tests.mergePatch(
    resourcePath({ ...pods, namespace: 'demo', name: `${app}-1`, subresource: 'status' }),
    { status },
    call(),
  )

const taint = 'least-rights'
type Told = { text: string; ended: boolean; runs: RunState[] }

type Workload = KubeObject & { spec: { replicas: number } }
const askedFor = async (kind: typeof deployments, name: string): Promise<number> => {
  const path = resourcePath({ ...kind, namespace: 'demo', name })
  return (await tests.get<Workload>(path, call())).spec.replicas
}

/** What the faults change, as it is now. */
async function world() {
  type Node = KubeObject & { spec?: { unschedulable?: boolean; taints?: { key: string }[] } }
  const all = await tests.list<Node>(resourcePath(nodes), call())
  const { items } = await tests.list<KubeObject>(
    resourcePath({ ...networkPolicies, namespace: 'demo' }),
    call(),
  )
  const ofOurs = await tests.list<KubeObject>(resourcePath({ ...pods, namespace: home }), call())
  return {
    taints: all.items
      .flatMap(({ spec }) => spec?.taints ?? [])
      .map(({ key }) => key)
      .filter((key) => key === taint),
    cordoned: all.items
      .filter(({ spec }) => spec?.unschedulable)
      .map(({ metadata }) => metadata.name),
    replicas: [await askedFor(deployments, 'web'), await askedFor(statefulSets, setName)],
    policies: items.map(({ metadata }) => metadata.name),
    faultPods: ofOurs.items.map(({ metadata }) => metadata.name),
  }
}
const setName = 'of-statefulset'
const untouched = { taints: [], cordoned: [], replicas: [1, 1], policies: [], faultPods: [] }

type Asked = {
  fault: string
  env: Record<string, string>
  /** kind and name; null: nodes */
  at: [string, string] | null
  annotations?: Record<string, string>
}

/** Every API-level fault at once, for half a second each. */
const usual: Record<string, Asked> = {
  'node-taint': { fault: 'node-taint', env: {}, at: null },
  'node-drain': { fault: 'node-drain', env: { TARGET_NODE: 'n1' }, at: null },
  'pod-autoscaler': {
    fault: 'pod-autoscaler',
    env: { REPLICA_COUNT: '3' },
    at: ['deployment', 'web'],
  },
  'pod-network-policy': { fault: 'pod-network-policy', env: {}, at: ['pod', 'policed-1'] },
  'pod-delete': { fault: 'pod-delete', env: { FORCE: 'true' }, at: ['pod', 'doomed-1'] },
}
/** What needs a right that none of those does. */
const more: Record<string, Asked> = {
  'scales-set': {
    fault: 'pod-autoscaler',
    env: { REPLICA_COUNT: '3' },
    at: ['statefulset', setName],
  },
  evicts: { fault: 'node-drain', env: { TARGET_NODE: 'n3' }, at: null },
  'by-namespace': {
    fault: 'pod-network-policy',
    env: { POD_SELECTOR: 'app=peer', NAMESPACE_SELECTOR: 'kubernetes.io/metadata.name=demo' },
    at: ['pod', 'policed-1'],
  },
  // Answered by an Event: there is nothing to give up.
  'given-up': {
    fault: 'pod-network-policy',
    env: {},
    at: ['pod', 'policed-1'],
    annotations: { 'chaos.chaosplane.io/abandon': '' },
  },
  ...Object.fromEntries(
    chosenBy.map((kind) => {
      const at: [string, string] = [kind.toLowerCase(), `of-${kind.toLowerCase()}`]
      return [`by-${at[0]}`, { fault: 'pod-network-policy', env: {}, at }]
    }),
  ),
}
/** A fault of a node, whose pod nobody starts here. */
const onNode: Record<string, Asked> = {
  burns: { fault: 'pod-cpu-hog', env: {}, at: ['pod', 'burnt-1'] },
}
const asked: Record<string, Asked> = { ...usual, ...more, ...onNode }
let round = 0

async function createRuns(of: string[]): Promise<string[]> {
  round += 1
  const names = of.map((key) => `${key}-${round}`)
  for (const [i, key] of of.entries()) {
    const { fault, env, at, annotations = {} } = asked[key] as Asked
    if (fault === 'node-taint') {
      await createTaint(names[i] as string)
      continue
    }
    const workloads = at ? [{ kind: at[0], namespace: 'demo', names: at[1] }] : null
    const all = fault === 'pod-network-policy' ? { POD_AFFECTED_PERCENTAGE: '100' } : {}
    const document = litmusDocument({
      ...(fault === 'pod-delete'
        ? { task: { probeRef: [{ probeID: 'alive', mode: 'SOT' }] } }
        : {}),
      chaos: { experiment: fault },
      env: { TOTAL_CHAOS_DURATION: '500ms', ...all, ...env },
      workloads,
    })
    const body = { ...document, metadata: { name: names[i], namespace: 'v2', annotations } }
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

type Experiment = KubeObject & { status?: { run?: RunState } }

/** What the resources say, and whether all of them are at their end and let go. */
async function look(names: string[]): Promise<Told> {
  const lists = [kubernetesChaosExperiments, chaosExperiments].map((kind) =>
    tests.list<Experiment>(resourcePath({ ...kind, namespace: 'v2' }), call()),
  )
  const items = (await Promise.all(lists)).flatMap((l) => l.items)
  const ours = items.filter(({ metadata }) => names.includes(metadata.name))
  const over = (e: Experiment) =>
    e.status?.run?.finishedAt !== undefined && (e.metadata.finalizers ?? []).length === 0
  return {
    text: JSON.stringify(ours.map(({ status }) => status)),
    ended: ours.every(over),
    runs: ours.flatMap(({ status }) => status?.run ?? []),
  }
}

/** There are no controllers and no kubelet here: what they would say and do is done in their place. */
async function actAsOthers(signal: AbortSignal): Promise<void> {
  const scaled = [
    { kind: deployments, name: 'web', told: Number.NaN },
    { kind: statefulSets, name: setName, told: Number.NaN },
  ]
  while (!signal.aborted) {
    for (const one of scaled) {
      const { kind, name } = one
      const replicas = await askedFor(kind, name)
      if (replicas === one.told) continue
      const path = resourcePath({ ...kind, namespace: 'demo', name, subresource: 'status' })
      await tests.mergePatch(path, { status: { replicas, readyReplicas: replicas } }, call())
      one.told = replicas
    }
    for (const [app, node] of [['doomed'], ['tenant', 'n3']] as [string, string?][]) {
      const there = resourcePath({ ...pods, namespace: 'demo', name: `${app}-1` })
      if (!(await tests.find(there, call()))) await makePod(app, node)
    }
    const ours = await tests.list<KubeObject>(resourcePath({ ...pods, namespace: home }), call())
    for (const { metadata } of ours.items) if (metadata.deletionTimestamp) await end(metadata.name)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
/** A pod of the product is gone at once. */
const end = (name: string) =>
  tests
    .remove(resourcePath({ ...pods, namespace: home, name }), { ...call(), gracePeriodSeconds: 0 })
    .catch(() => {})

/** A life of the runner; what it logs is kept. */
function startRunner(env: Record<string, string> = {}): { log(): string; end(): Promise<string> } {
  const lines: string[] = []
  const stop = new AbortController()
  const settings = settingsFrom({
    POD_NAME: `runner-${randomUUID().slice(0, 8)}`,
    POD_NAMESPACE: home,
    IMAGE: image,
    RUNNER_DEPLOYMENT: 'chaosplane-runner',
    ...env,
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
async function without(
  role: Role | undefined,
  but: Permission | undefined,
  of = Object.keys(usual),
) {
  const stop = new AbortController()
  if (role) await setRules(tests, role, but)
  const others = actAsOthers(stop.signal)
  const runner = startRunner()
  const names = await createRuns(of)
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
  }, 15_000)
  const { refused } = await told()
  if (role) await setRules(tests, role)
  const ended = await until(async () => (await look(names)).ended, 15_000)
  const after = await world()
  const outcome: Outcome = { told: refused, ended, runner: await runner.end(), world: after }
  stop.abort()
  await others
  const { text: status, runs } = await look(names)
  return { ...outcome, status, runs }
}

/** A rule that none of the usual faults needs: what does, and the code of its error. */
type Needed = Record<string, { by: string; code?: ErrorCode }>
type Case = {
  role: string
  path: string
  who: string
  needed: Needed
  elsewhere: Record<string, string>
}
const right = (by: string) => ({ by, code: 'MISSING_RIGHT' as const })
const cases: Case[] = [
  {
    role: 'runner, cluster',
    path: rolePath('chaosplane-runner'),
    who: runnerUser,
    needed: {
      'subjectaccessreviews.authorization.k8s.io': right('burns'),
      // What cannot be told is logged, and changes nothing.
      'events.events.k8s.io': { by: 'given-up' },
      'statefulsets.apps': { by: 'scales-set' },
      'statefulsets/scale.apps': { by: 'scales-set' },
    },
    elsewhere: {},
  },
  {
    role: 'runner, own namespace',
    path: rolePath('chaosplane-runner', home),
    who: runnerUser,
    needed: { pods: { by: 'burns', code: 'HELPER_ERROR' } },
    elsewhere: { 'pods/attach': 'a fault pod that runs needs a node: stories' },
  },
  {
    role: 'experiment',
    path: rolePath('chaosplane-experiment'),
    who: 'v2/litmus',
    needed: {
      namespaces: right('by-namespace'),
      'pods/eviction': right('evicts'),
      'pods/exec': right('burns'),
      'statefulsets/scale.apps': right('scales-set'),
      replicationcontrollers: right('by-deploymentconfig'),
      'deploymentconfigs.apps.openshift.io': right('by-deploymentconfig'),
      'daemonsets.apps': right('by-daemonset'),
      'replicasets.apps': right('by-replicaset'),
      'statefulsets.apps': right('by-statefulset'),
      'rollouts.argoproj.io': right('by-rollout'),
      'jobs.batch': right('by-job'),
    },
    elsewhere: {},
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

test.each(Object.keys(more))('with all of its rules "%s" is injected and put back', async (key) => {
  const {
    told,
    ended,
    runner,
    world: after,
    status,
    runs,
  } = await without(undefined, undefined, [key])
  expect([...told]).toEqual([])
  expect({ ended, runner, world: after }, status).toEqual({
    ended: true,
    runner: 'handed over',
    world: untouched,
  })
  const targets = runs.flatMap(({ tasks }) => tasks.flatMap((task) => task.targets))
  expect(targets, status).toMatchObject([{ state: 'reverted', injectedAt: expect.any(Number) }])
  if (key !== 'given-up') return
  const path = resourcePath({ ...events, namespace: 'v2' })
  type Event = KubeObject & { reason: string }
  const { items } = await tests.list<Event>(path, call())
  expect(items.map(({ reason }) => reason)).toContain('AbandonRefused')
})

/** Pods of runs in the product's namespace that are there, by name. */
async function ofRuns(): Promise<string[]> {
  const query = { labelSelector: faultPodLabels.run }
  const path = resourcePath({ ...pods, namespace: home })
  const { items } = await tests.list<KubeObject>(path, { ...call(), query })
  return items.map(({ metadata }) => metadata.name)
}

/** A run whose fault pod nobody starts; it is called off as soon as `isThere`. */
async function callOff(isThere: () => Promise<boolean> | boolean) {
  const stop = new AbortController()
  const others = actAsOthers(stop.signal)
  const [name = ''] = await createRuns(['burns'])
  const seen = await until(isThere, 10_000)
  const path = resourcePath({ ...kubernetesChaosExperiments, namespace: 'v2', name })
  const annotations = { 'chaos.chaosplane.io/abort': 'true' }
  await tests.mergePatch(path, { metadata: { annotations } }, call())
  const ended = await until(async () => (await look([name])).ended, 20_000)
  stop.abort()
  await others
  return { seen, ended, status: (await look([name])).text }
}

test('with all of its rules a node gets its fault pod', async () => {
  const runner = startRunner()
  const { seen, ended, status } = await callOff(async () => (await ofRuns()).length === 1)
  expect({ seen, ended }, status).toEqual({ seen: true, ended: true })
  expect([...refusals(status + runner.log())]).toEqual([])
  expect(await runner.end()).toBe('handed over')
  expect(await world()).toEqual(untouched)
})

test('without "patch" of pods a warm pod is left alone, and another one made in its place', async () => {
  const role = {
    path: rolePath('chaosplane-runner', home),
    rights: parts['runner, own namespace'] as readonly Permission[],
  }
  const lesser = role.rights.map((one) =>
    one.resource === 'pods' ? { ...one, verbs: ['create'] } : one,
  )
  await setRules(tests, { ...role, rights: lesser })
  const capabilities = faultCatalogue['pod-cpu-hog']?.capabilities ?? []
  const how = { image, imagePullPolicy: 'Never' as const, imagePullSecrets: [], owner: null }
  const place = { name: 'warm-1', namespace: home, node: 'n2', priorityClassName: null }
  const warm = warmPod({ ...how, ...place, capabilities, idleMs })
  await tests.create(resourcePath({ ...pods, namespace: home }), warm, call())
  const containerStatuses = ['fault', 'guard'].map((name) => ({
    ...{ name, image, imageID: image, ready: true, restartCount: 0 },
    state: { running: {} },
  }))
  const ofWarm = resourcePath({ ...pods, namespace: home, name: 'warm-1', subresource: 'status' })
  await tests.mergePatch(ofWarm, { status: { phase: 'Running', containerStatuses } }, call())
  const runner = startRunner({ WARM: 'idle' })
  try {
    const { seen, ended, status } = await callOff(async () => (await ofRuns()).length === 1)
    expect({ seen, ended }, status).toEqual({ seen: true, ended: true })
    expect([...refusals(runner.log())]).toEqual([`${runnerUser} patch pods`])
    expect(await runner.end()).toBe('handed over')
    expect(await world()).toEqual({ ...untouched, faultPods: ['warm-1'] })
  } finally {
    await runner.end()
    await end('warm-1')
    await setRules(tests, role)
  }
})

describe.each(cases)('without a rule of "$role"', ({ role, path, who, needed, elsewhere }) => {
  const rights = parts[role] as readonly Permission[]
  const rules = rulesOf({ rights }).map((right) => [keyOf(right), right] as const)

  test('what is named here is still a rule', () => {
    const named = [...Object.keys(elsewhere), ...Object.keys(needed)]
    expect(rules.map(([key]) => key)).toEqual(expect.arrayContaining(named))
  })

  const here = rules.filter(([key]) => !(key in elsewhere))
  test.each(here)('%s: says so, harms nothing, and goes on with it', async (key, right) => {
    const { by, code } = needed[key] ?? {}
    const came = await without({ path, rights }, right, by ? [by] : undefined)
    const { told, ended, runner, world: after, status, runs } = came
    const named = [...told].filter(
      (t) => t.startsWith(`${who} `) && t.endsWith(` ${right.resource}`),
    )
    expect(named, `${[...told]} ${status}`).not.toEqual([])
    expect({ ended, runner, world: after }, status).toEqual({
      ended: true,
      runner: 'handed over',
      world: untouched,
    })
    const codes = runs.flatMap(({ tasks }) => tasks.map((task) => task.trouble?.code))
    if (code) expect(codes, status).toEqual([code])
  })
})
