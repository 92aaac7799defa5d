import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KubeClient } from '../../lib/kube/client.ts'
import { leases, nodes, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { dryRunAnnotation } from '../../model/dry-run.ts'
import type { RunState } from '../../model/state.ts'
import { judgeRun } from '../../model/verdict.ts'
import { tellRehearsal } from './rehearse.ts'
import { resourceOf } from './resource.ts'
import { PosedRunner } from './testing/posed-runner.ts'

const namespace = 'rehearsal-tests'
const annotations = { [dryRunAnnotation]: 'true' }
let kube: KubeClient
let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone(namespace, {
    MAX_TARGETS_PER_EXPERIMENT: '2',
    MAX_TARGETS_PERCENT_OF_CLUSTER: '99',
  })
  kube = runner.kube
  // before the first look at the size of the cluster, which is kept for a while
  for (const name of ['crowd-1', 'crowd-2', 'crowd-3', 'crowd-4'])
    await runner.makeNode(name, { pool: 'crowd' })
})
afterAll(() => runner?.end())

const soon = () => AbortSignal.timeout(10_000)
const versionOf = async (path: string): Promise<string> =>
  (await kube.get<KubeObject>(path, runner.call)).metadata.resourceVersion
const names = async (path: string): Promise<string[]> =>
  (await kube.list<KubeObject>(path, runner.call)).items.map(({ metadata }) => metadata.name)

it('tells targets, commands, rights and limits, and touches neither them nor the resource', async () => {
  await runner.makeNode('stage')
  const node = resourcePath({ ...nodes, name: 'stage' })
  const before = await versionOf(node)
  const created = await runner.taint('rehearsed', { names: ['stage'] }, annotations)
  const run = await runner.until('rehearsed', ({ finishedAt }) => finishedAt !== undefined)
  const [task] = run.tasks
  expect(run.dryRun).toBe(true)
  expect(task).toMatchObject({ stage: 'done', skipped: true, injections: 0, pods: [] })
  expect(task?.targets).toMatchObject([{ id: 'node/stage', state: 'untouched' }])
  expect(task?.rehearsal).toMatchObject({
    inject: ['kubectl taint node stage story:NoSchedule --overwrite'],
    undo: [expect.stringContaining('kubectl taint node stage story:NoSchedule-')],
    limits: [
      'protection.namespaces.deny is kube-system',
      'protection.maxTargets.perExperiment is 2: 1 would be hit at the same time',
      expect.stringMatching(/^protection\.maxTargets\.percentOfCluster is 99: 1 of \d+ nodes$/),
    ],
  })
  expect(task?.rehearsal?.rights).toContainEqual({
    ...{ verb: 'patch', resource: 'nodes', namespace: '', allowed: true },
  })
  const { phase, verdict, message } = judgeRun('ChaosExperiment', run)
  expect({ phase, verdict, message }).toEqual({
    phase: 'Completed',
    verdict: 'N/A',
    message: 'dry run: 1 target would be hit at first; nothing was touched',
  })
  expect(await versionOf(node)).toBe(before)
  const { metadata } = await runner.experiment('rehearsed')
  expect(metadata.annotations).toEqual(created.metadata.annotations)
  expect(metadata.finalizers).toBeUndefined()
  expect(await names(resourcePath({ ...pods, namespace }))).toEqual([])
  const slots = await names(resourcePath({ ...leases, namespace }))
  expect(slots.filter((name) => name.startsWith('chaosplane-slot'))).toEqual([])
})

it('says what would stop the run', async () => {
  const labelSelector = { matchLabels: { pool: 'crowd' } }
  await runner.taint('crowded', { labelSelector }, annotations)
  const run = await runner.until('crowded', ({ finishedAt }) => finishedAt !== undefined)
  expect(run.tasks[0]?.trouble).toMatchObject({
    code: 'TARGET_SELECTION_ERROR',
    reason: expect.stringContaining('perExperiment of the chart is 2: choose at most 2'),
  })
  expect(judgeRun('ChaosExperiment', run)).toMatchObject({ phase: 'Failed', verdict: 'Error' })
  expect(await runner.taints('crowd-1')).toEqual([])
})

it('says which right is missing', async () => {
  const account = { 'chaos.chaosplane.io/service-account': 'default' }
  await runner.taint('powerless', { names: ['stage'] }, { ...annotations, ...account })
  const run = await runner.until('powerless', ({ finishedAt }) => finishedAt !== undefined)
  expect(run.tasks[0]?.trouble?.code).toMatch(/MISSING_(RIGHT|ACCOUNT)/)
  expect(run.tasks[0]?.rehearsal?.rights.map((r) => r.allowed)).not.toContain(true)
})

describe('a second runner that was slower', () => {
  /** What it would write for a resource as it saw it before anybody had written. */
  const tell = async (name: string, over: Partial<RunState> = {}) => {
    const now = await runner.experiment(name)
    const object = { ...now, status: {}, metadata: { ...now.metadata, resourceVersion: '1' } }
    const run = now.status?.run as RunState
    const state = { ...run, runId: `of-the-other-${name}`, dryRun: true, ...over }
    const resource = resourceOf('ChaosExperiment', object)
    const told = await tellRehearsal(kube, { resource, object, state, room: 900_000 }, soon())
    return { before: run, told, after: (await runner.experiment(name)).status?.run as RunState }
  }

  it('leaves the record of the first one', async () => {
    const { before, told, after } = await tell('rehearsed')
    expect(told).toBe(false)
    expect(after).toEqual(before)
  })

  it('leaves a real run that has begun meanwhile', async () => {
    await runner.makeNode('real-stage')
    await runner.taint('begun', { names: ['real-stage'] })
    const { runId } = await runner.injected('begun')
    const { told, after } = await tell('begun')
    expect(told).toBe(false)
    expect(after).toMatchObject({ runId, tasks: [{ injections: 1 }] })
    await runner.abort('begun')
    await runner.finished('begun')
  })

  it('writes over the run before this one', async () => {
    const { before } = await tell('rehearsed')
    const { told, after } = await tell('rehearsed', { previousRunIds: [before.runId] })
    expect(told).toBe(true)
    expect(after.runId).toBe('of-the-other-rehearsed')
  })
})

it('starts nothing when its annotation goes; a new resource runs', async () => {
  const metadata = { annotations: { [dryRunAnnotation]: null } }
  await kube.mergePatch(runner.pathOf('rehearsed'), { metadata }, runner.call)
  await runner.taint('real', { names: ['stage'] })
  await runner.injected('real')
  await runner.abort('real')
  await runner.finished('real')
  const [task] = (await runner.until('rehearsed', () => true)).tasks
  expect(task).toMatchObject({ injections: 0, skipped: true })
})
