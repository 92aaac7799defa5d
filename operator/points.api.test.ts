import { existsSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { leaveOut } from '../config/image/leave-out.ts'
import { systemMonotonic } from '../lib/clock.ts'
import { type CrashPoint, crashFile, crashPoints, crashText } from '../lib/crash.ts'
import {
  chaosExperiments,
  configMaps,
  namespaces,
  networkPolicies,
  resourcePath,
  serviceAccounts,
} from '../lib/kube/paths.ts'
import { createReflector } from '../lib/kube/reflector.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import { haltConfigMap } from '../model/halt.ts'
import type { RunState } from '../model/state.ts'
import { type ControlPlane, startControlPlane } from '../test-e2e/cluster/control-plane.ts'
import { applyCrds } from '../test-e2e/setup/api-server.ts'
import type { Experiment } from './experiment/observe.ts'
import { BareCluster } from './testing/bare-cluster.ts'
import { Kept } from './testing/kept.ts'
import { lost, podsOf, ways } from './testing/orphans.ts'
import { Stage } from './testing/stage.ts'

/**
 * The operator ends itself at each of its points, on an API server of its own, and is started again. At some it waits
 * for a runner that has gone, at the last two for one that comes.
 */
const home = 'points-home'
const namespace = 'points-tests'
const shop = 'points-shop'
const programOf = (path: string) => fileURLToPath(new URL(path, import.meta.url))
let plane: ControlPlane
let stage: Stage
let cluster: BareCluster
let folder: string

/** The point at which the operator is to die, and over what. */
type Order = { point: CrashPoint; name: string }
const give = ({ point, name }: Order) =>
  writeFileSync(crashFile(folder, name, point), crashText({ how: 'kill', time: 1 }))
const isReached = ({ point, name }: Order) =>
  existsSync(`${crashFile(folder, name, point)}.reached`)

let operator: Kept

/** It begins two dozen times: from one file that is quicker. */
async function bundled(): Promise<string> {
  const outfile = join(folder, 'operator.cjs')
  await build({
    ...{ entryPoints: [programOf('testing/posed-operator.ts')], outfile, bundle: true },
    ...{ platform: 'node', target: 'node24', format: 'cjs', plugins: [leaveOut] },
  })
  return outfile
}

/** Every phase and verdict that an experiment ever had. */
const told = new Map<string, string[]>()
const leave = new AbortController()
let following: Promise<void> = Promise.resolve()
function follow(signal: AbortSignal): Promise<void> {
  const path = resourcePath({ ...chaosExperiments, namespace })
  const reflector = createReflector<Experiment>({ client: stage.tests, path })
  reflector.store.onChange(({ object }) => {
    const said = `${object.status?.phase ?? ''} ${object.status?.verdict ?? ''}`
    const all = told.get(object.metadata.name) ?? []
    if (all.at(-1) !== said) told.set(object.metadata.name, [...all, said])
  })
  return reflector.run(signal)
}
/** What an experiment was said to have come to: once, and for good. */
const verdictsOf = (name: string): string[] =>
  (told.get(name) ?? []).filter((said) => !/ (Awaited|N\/A|)$/.test(said))

const on = () => ({ stage, cluster, home, verdictsOf })
const cases = Object.entries(ways).flatMap(([prefix, way]) =>
  way.points.map((point) => ({ point, way, name: `${prefix}-at-${point.split('/')[1]}` })),
)
/** Where the API server refuses all pods, and where a runner carries the run on: not beside the others. */
const refusedAt: CrashPoint = 'operator/pod-refused'
const closingAt: readonly CrashPoint[] = ['operator/status-writing', 'operator/status-written']

it('every point of the operator is met here', () => {
  const all = Object.keys(crashPoints).filter((point) => point.startsWith('operator/'))
  const met = new Set([...cases.map(({ point }) => point), refusedAt, ...closingAt])
  expect([...met].sort()).toEqual(all.sort())
})

beforeAll(async () => {
  plane = await startControlPlane()
  await applyCrds(plane.kubeconfig)
  stage = await Stage.set({ kubeconfig: plane.kubeconfig, home, namespace, agent: 'tests/3' })
  cluster = new BareCluster(stage)
  folder = await mkdtemp(join(tmpdir(), 'chaosplane-points-'))
  const kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, stage.operatorsKubeconfig())
  operator = new Kept(await bundled(), {
    POD_NAMESPACE: home,
    KUBECONFIG: kubeconfig,
    CHAOSPLANE_CRASH: folder,
  })
  following = follow(leave.signal)
  await cluster.makeDeadRunner(home)
})
afterAll(async () => {
  leave.abort()
  await following
  await operator?.end()
  await stage?.end()
  await plane?.down()
  if (folder) await rm(folder, { recursive: true, force: true })
})

describe('an operator that is killed at', () => {
  // Each life carries on what the one before has left, and dies over the next.
  beforeAll(async () => {
    for (const one of cases) {
      await one.way.pose(on(), one.name)
      give(one)
      await operator.life(20_000)
    }
    operator.start()
  })

  it.concurrent.each(cases)('$point leaves nothing undone of $name', async (one) => {
    expect(isReached(one)).toBe(true)
    await one.way.end(on(), one.name)
  })
})

const enforce = (level: string | null) =>
  stage.tests.mergePatch(
    resourcePath({ ...namespaces, name: home }),
    { metadata: { labels: { 'pod-security.kubernetes.io/enforce': level } } },
    stage.call,
  )

it(`an operator that is killed at ${refusedAt} tells of it in its next life, and makes the pod when it may`, async () => {
  const one = { point: refusedAt, name: 'refused' }
  give(one)
  await enforce('restricted')
  try {
    const object = (await lost.pose(on(), one.name)) as Experiment
    await stage.until('the death', async () => isReached(one))
    await stage.until('the Event', async () =>
      (await stage.reasonsOf(object)).includes('RecoveryPodRefused'),
    )
    expect(await podsOf(on(), object)).toEqual([])
  } finally {
    await enforce(null)
  }
  await lost.end(on(), one.name)
})

const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
/** A runner as a program; what was left to nobody before is not its business. */
async function makeRunner(): Promise<Kept> {
  const { items } = await stage.tests.list<Experiment>(
    resourcePath({ ...chaosExperiments, namespace }),
    stage.call,
  )
  for (const object of items) {
    await stage.letGo(object)
    if (!object.metadata.deletionTimestamp)
      await stage.tests.remove(stage.place(object.metadata.name), stage.call)
  }
  await stage.tests.create(
    resourcePath({ ...configMaps, namespace: home }),
    { metadata: { name: haltConfigMap } },
    stage.call,
  )
  const name = 'experimenter'
  await stage.tests.create(
    resourcePath({ ...serviceAccounts, namespace }),
    { metadata: { name } },
    stage.call,
  )
  const binding = {
    metadata: { name },
    roleRef: { apiGroup: rbac.group, kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  }
  await stage.tests.create(
    resourcePath({ ...rbac, plural: 'clusterrolebindings' }),
    binding,
    stage.call,
  )
  return new Kept(programOf('../runner/main.ts'), {
    POD_NAMESPACE: home,
    ...{ POD_NAME: 'runner-0', IMAGE: 'chaosplane:test', KUBECONFIG: plane.kubeconfig },
    PORT: '0',
  })
}

/** A pod that runs, as far as anybody can see. */
async function makeTill(): Promise<void> {
  await stage.tests.create(resourcePath(namespaces), { metadata: { name: shop } }, stage.call)
  const app = {
    ...{ name: 'app', image: 'a', imageID: 'a', ready: true, restartCount: 0 },
    containerID: `containerd://${'a'.repeat(64)}`,
    state: { running: {} },
  }
  const conditions = [{ type: 'Ready', status: 'True' }]
  const status = { phase: 'Running', conditions, containerStatuses: [app] }
  await cluster.makePod(shop, 'till', { labels: { app: 'till' }, status })
}

/** Held through the API for a while. */
async function begin(name: string, spec: object): Promise<void> {
  const body = {
    apiVersion: 'chaos.chaosplane.io/v1alpha1',
    kind: 'ChaosExperiment',
    metadata: {
      name,
      annotations: { 'chaos.chaosplane.io/service-account': 'experimenter' },
    },
    spec: { duration: '6s', ...spec },
  }
  await stage.tests.create(resourcePath({ ...chaosExperiments, namespace }), body, stage.call)
}

const policies = async (): Promise<number> => {
  const path = resourcePath({ ...networkPolicies, namespace: shop })
  return (await stage.tests.list<KubeObject>(path, stage.call)).items.length
}

/** How long it was seen to be there, milliseconds. */
async function seenFor(isThere: () => Promise<boolean>): Promise<number> {
  await stage.until('the effect', isThere)
  const from = systemMonotonic()
  await stage.until('the effect gone', async () => !(await isThere()))
  return systemMonotonic() - from
}

describe('a run whose runner is killed while it holds, and whose operator dies over it', () => {
  let runner: Kept
  beforeAll(async () => {
    runner = await makeRunner()
    await makeTill()
    await cluster.makeNode('till-node', [{ key: 'before', value: 'own', effect: 'NoSchedule' }])
    runner.start()
  })
  afterAll(() => runner?.end())

  it('ends once, with what it really held', async () => {
    const target = { kind: 'Pod', namespace: shop, labelSelector: { matchLabels: { app: 'till' } } }
    const action = { type: 'pod-network-policy', parameters: { direction: 'both' } }
    const isTainted = async () =>
      (await cluster.taints('till-node')).some((one) => /^story=/.test(one))
    const seen = Promise.all([seenFor(isTainted), seenFor(async () => (await policies()) > 0)])
    await begin('taint', {
      target: { kind: 'Node', names: ['till-node'] },
      action: { type: 'node-taint', parameters: { key: 'story' } },
    })
    await begin('policy', { target, action })
    for (const name of ['taint', 'policy'])
      await stage.until(`${name} held and told`, async () => {
        const { status } = await stage.get(name)
        const [held] = status?.run?.tasks[0]?.targets ?? []
        return held?.state === 'injected' && status?.phase === 'Running'
      })
    await runner.end('SIGKILL')
    const [writing, written] = closingAt as [CrashPoint, CrashPoint]
    const orders = [
      { point: writing, name: 'taint' },
      { point: written, name: 'policy' },
    ]
    for (const one of orders) give(one)
    // somebody else's, meanwhile
    await cluster.addTaint('till-node', { key: 'later', value: 'own', effect: 'NoSchedule' })
    runner.start()
    const held = await seen
    for (const [i, name] of ['taint', 'policy'].entries()) {
      const after = await stage.until(`${name} at its end`, async () => {
        const now = await stage.get(name)
        return now.status?.endTime !== undefined && !now.metadata.finalizers?.length && now
      })
      const run = after.status?.run as RunState
      const [end] = run.tasks[0]?.targets ?? []
      expect(run.adoptions).toBe(1)
      expect(end).toMatchObject({ state: 'reverted', outcome: 'restored' })
      expect(Math.abs((end?.heldMs ?? 0) - (held[i] ?? 0))).toBeLessThan(1_000)
      await stage.until('the verdict', async () => verdictsOf(name).length > 0)
      expect(verdictsOf(name)).toEqual(['Completed Pass'])
    }
    expect(await cluster.taints('till-node')).toEqual(['before=own', 'later=own'])
    expect(orders.filter((one) => !isReached(one))).toEqual([])
  })
})
