import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chartParts } from '../config/rbac.ts'
import { configOf } from '../config/testing/account.ts'
import {
  keyOf,
  type Role,
  refusals,
  rolePath,
  rulesOf,
  setRules,
  until,
} from '../config/testing/rights.ts'
import { configMaps, kubernetesChaosExperiments, pods, resourcePath } from '../lib/kube/paths.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import { litmusDocument } from '../model/compile/fixtures.ts'
import type { Permission } from '../model/fault.ts'
import { podName } from '../model/fault-pod-recovery.ts'
import { haltAnnotation, haltConfigMap } from '../model/halt.ts'
import { faultCatalogue } from '../runner/faults/catalogue.generated.ts'
import { type ControlPlane, startControlPlane } from '../test-e2e/cluster/control-plane.ts'
import { applyCrds } from '../test-e2e/setup/api-server.ts'
import { abortAnnotation } from './drain.ts'
import type { Experiment } from './experiment/observe.ts'
import { done, running, runOf, startedAt, target } from './testing/runs.ts'
import { conditionsOf, Stage } from './testing/stage.ts'

/** The operator as a program with the chart's rights, on an API server where nobody else acts. */
let plane: ControlPlane
let stage: Stage
let folder: string
let kubeconfig: string
const home = 'product'
const namespace = 'v2'
const user = `system:serviceaccount:${home}:chaosplane-operator`
const parts = chartParts(Object.values(faultCatalogue))
const operatorOwn = parts['operator, own namespace'] as readonly Permission[]
const litmusPath = (name?: string) =>
  resourcePath({ ...kubernetesChaosExperiments, namespace, ...(name ? { name } : {}) })

beforeAll(async () => {
  plane = await startControlPlane()
  await applyCrds(plane.kubeconfig)
  stage = await Stage.set({ kubeconfig: plane.kubeconfig, home, namespace, agent: 'tests/2' })
  const at = { kubeconfig: plane.kubeconfig, admin: stage.tests, namespace: home }
  const config = await configOf({ ...at, name: 'chaosplane-operator' })
  folder = await mkdtemp(join(tmpdir(), 'chaosplane-operator-'))
  kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, config.exportConfig())
})
afterAll(async () => {
  await stage?.end()
  await plane?.down()
  if (folder) await rm(folder, { recursive: true, force: true })
})

type Life = {
  child: ChildProcess
  log(): string
  /** by SIGTERM */
  end(): Promise<string>
  /** by itself; its exit code */
  over(): Promise<number | null>
}

/** A life of the operator; what it logs is kept. */
function startOperator(...args: string[]): Life {
  const entry = fileURLToPath(new URL('main.ts', import.meta.url))
  const child = spawn(process.execPath, [entry, ...args], {
    env: {
      PATH: process.env['PATH'] ?? '',
      POD_NAME: 'operator-0',
      POD_NAMESPACE: home,
      IMAGE: 'chaosplane:test',
      KUBECONFIG: kubeconfig,
      HEALTH_PORT: '0',
      DRAIN_TIMEOUT_SECONDS: '5',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  const ended = once(child, 'exit')
  return {
    child,
    log: () => said,
    over: async () => {
      await ended
      return child.exitCode
    },
    end: async () => {
      if (child.exitCode !== null) return `ended by itself: ${said.slice(-1000)}`
      child.kill('SIGTERM')
      await ended
      return child.exitCode === 0 ? 'handed over' : `exit ${child.exitCode}: ${said.slice(-1000)}`
    },
  }
}

let round = 0

/** One run whose node program is lost, and one that is over, in the other dialect. */
async function createRuns() {
  round += 1
  const lost = await stage.createClaimed(`lost-${round}`)
  const targets = [{ ...target, container: 'app', containerId: 'c1' }]
  const owner = { run: lost.metadata.uid, task: running.name, node: 'n1' }
  const pods = [podName(owner, 1)]
  const task = { ...running, fault: 'pod-cpu-hog', targets, pods, acknowledged: { n1: 7 } }
  await stage.asRunner(lost, { tasks: [task] })
  const over = await createOver(`over-${round}`)
  return { lost, over, recovery: podName(owner, 2) }
}

async function createOver(name: string): Promise<string> {
  const { group, version } = kubernetesChaosExperiments
  const typed = { apiVersion: `${group}/${version}`, kind: 'KubernetesChaosExperiment' }
  const metadata = { name, namespace, annotations: { 'chaos.chaosplane.io/claimed-by': 'r/1' } }
  const body = { ...litmusDocument({ chaos: { experiment: 'pod-delete' } }), ...typed, metadata }
  const made = await stage.tests.create<Experiment>(litmusPath(), body, stage.call)
  const run = runOf(made, { tasks: [done], finishedAt: startedAt + 10_000 })
  const by = { ...stage.call, fieldManager: 'chaosplane-runner', force: true }
  const status = { ...typed, metadata: { name, namespace }, status: { run } }
  await stage.tests.apply(`${litmusPath(name)}/status`, status, by)
  return name
}

/** What the operator has done for them by now. */
async function workOf({ lost, over, recovery }: Awaited<ReturnType<typeof createRuns>>) {
  type Status = KubeObject & { status?: { phase?: string } }
  const there = resourcePath({ ...pods, namespace: home, name: recovery })
  const [pod, other, own, reasons] = await Promise.all([
    stage.tests.find(there, stage.call),
    stage.tests.get<Status>(litmusPath(over), stage.call),
    stage.get(lost.metadata.name),
    stage.reasonsOf(lost),
  ])
  return {
    recoveryPod: pod !== null && pod !== undefined,
    event: reasons.includes('RecoveryPodCreated'),
    told: 'Claimed' in conditionsOf(own),
    toldOther: other.status?.phase === 'Completed',
  }
}
const all = { recoveryPod: true, event: true, told: true, toldOther: true }

/** One rule is away; there is work to do; it comes back. */
async function without(role: Role | undefined, but: Permission | undefined) {
  if (role) await setRules(stage.tests, role, but)
  const operator = startOperator()
  const runs = await createRuns()
  // An Event that was refused is written before the operator ends.
  const isDone = async () =>
    Object.values({ ...(await workOf(runs)), event: true }).every((one) => one)
  const named = () =>
    but?.verbs.some((verb) => refusals(operator.log()).has(`${user} ${verb} ${but.resource}`))
  await until(async () => named() ?? (await isDone()), 15_000)
  const told = [...refusals(operator.log())]
  if (role) await setRules(stage.tests, role)
  await until(isDone, 30_000)
  const ended = await operator.end()
  const work = await workOf(runs)
  await stage.letGo(runs.lost)
  return { told, work, ended, log: operator.log() }
}

test('with all of its rules its work is done and nothing is refused', async () => {
  const { told, work, ended } = await without(undefined, undefined)
  expect({ told, work, ended }).toEqual({ told: [], work: all, ended: 'handed over' })
})

/** An uninstall that may not pull the kill switch would race with what begins meanwhile: it does nothing at all. */
test.each(['get', 'patch'])(
  'without "%s" of configmaps an uninstall says so and aborts nothing, and goes on with it',
  async (verb) => {
    const own = { path: rolePath('chaosplane-operator', home), rights: operatorOwn }
    const map = resourcePath({ ...configMaps, namespace: home, name: haltConfigMap })
    const lesser = operatorOwn.map((one) =>
      one.resource === 'configmaps' ? { ...one, verbs: one.verbs.filter((v) => v !== verb) } : one,
    )
    const body = { metadata: { name: haltConfigMap } }
    await stage.tests.create(resourcePath({ ...configMaps, namespace: home }), body, stage.call)
    const held = await stage.createClaimed(`not-drained-${verb}`)
    const annotations = async () => ({
      pulled:
        haltAnnotation in
        ((await stage.tests.get<KubeObject>(map, stage.call)).metadata.annotations ?? {}),
      aborted:
        abortAnnotation in ((await stage.get(held.metadata.name)).metadata.annotations ?? {}),
    })
    try {
      await setRules(stage.tests, { ...own, rights: lesser })
      const refused = startOperator('drain')
      expect(await refused.over(), refused.log()).toBe(1)
      expect([...refusals(refused.log())]).toEqual([`${user} ${verb} configmaps`])
      expect(await annotations()).toEqual({ pulled: false, aborted: false })
      await setRules(stage.tests, own)
      const allowed = startOperator('drain')
      expect(await until(async () => (await annotations()).aborted, 20_000), allowed.log()).toBe(
        true,
      )
      expect((await annotations()).pulled).toBe(true)
      await stage.letGo(held)
      expect(await allowed.over(), allowed.log()).toBe(0)
      expect([...refusals(allowed.log())]).toEqual([])
    } finally {
      await setRules(stage.tests, own)
      await stage.letGo(held)
      await stage.tests.remove(map, stage.call)
    }
  },
)

/** Rules that nothing here needs, and where they are. */
type Elsewhere = Record<string, string>
const none: Elsewhere = {}
const drains: Elsewhere = { configmaps: 'an uninstall alone needs it: above' }

describe.each([
  { role: 'operator, cluster', path: rolePath('chaosplane-operator'), elsewhere: none },
  {
    role: 'operator, own namespace',
    path: rolePath('chaosplane-operator', home),
    elsewhere: drains,
  },
])('without a rule of "$role"', ({ role, path, elsewhere }) => {
  const rights = parts[role] as readonly Permission[]
  const rules = rulesOf({ rights }).map((right) => [keyOf(right), right] as const)

  test('what is tested elsewhere is still a rule', () => {
    expect(rules.map(([key]) => key)).toEqual(expect.arrayContaining(Object.keys(elsewhere)))
  })

  test.each(rules.filter(([key]) => !(key in elsewhere)))(
    '%s: says so, lives on, and does its work with it',
    async (_, right) => {
      const { told, work, ended, log } = await without({ path, rights }, right)
      const named = told.filter((t) => t.startsWith(`${user} `) && t.endsWith(` ${right.resource}`))
      expect(named, `${told} ${log.slice(-2000)}`).not.toEqual([])
      expect({ work, ended }, log.slice(-2000)).toEqual({ work: all, ended: 'handed over' })
    },
  )
})
