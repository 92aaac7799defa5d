import type { KubeConfig } from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { systemClock, systemMonotonic } from '../lib/clock.ts'
import { createKubeClient, type KubeClient } from '../lib/kube/client.ts'
import { loadKubeConfig } from '../lib/kube/config.ts'
import { createEventRecorder } from '../lib/kube/events.ts'
import {
  apiVersionOf,
  chaosExperiments,
  events,
  leases,
  namespaces,
  pods,
  resourcePath,
} from '../lib/kube/paths.ts'
import { type KubeObject, microTime } from '../lib/kube/types.ts'
import { silentLog } from '../lib/log.ts'
import type { RunState } from '../model/state.ts'
import { type AuditEvent, readAudit } from '../test-e2e/cluster/audit.ts'
import { drain } from './drain.ts'
import type { Experiment } from './experiment/observe.ts'
import { ExperimentOperator } from './experiments.ts'
import { configOf, installRights } from './testing/account.ts'
import { done, running, runOf, startedAt, target } from './testing/runs.ts'

const call = { signal: AbortSignal.timeout(240_000) }
const home = 'operator-home'
const namespace = 'operator-tests'
const agent = 'chaosplane-operator-test/1'
let tests: KubeClient
/** with the rights that the chart gives the operator, no others */
let client: KubeClient
let own: KubeConfig
let operator: ExperimentOperator | undefined

beforeAll(async () => {
  const config = loadKubeConfig({ file: inject('apiKubeconfig'), env: {} })
  tests = createKubeClient({ config, userAgent: 'tests/1' })
  for (const name of [home, namespace])
    await tests.create(resourcePath(namespaces), { metadata: { name } }, call)
  const kubeconfig = inject('apiKubeconfig')
  await installRights(kubeconfig, home)
  const name = 'chaosplane-operator'
  own = await configOf({ kubeconfig, admin: tests, namespace: home, name })
  client = createKubeClient({ config: own, userAgent: agent })
})
afterEach(async () => {
  await operator?.stop()
  operator = undefined
})
afterAll(async () => {
  await Promise.all([tests?.close(), client?.close()])
})

async function startOperator(): Promise<void> {
  operator = new ExperimentOperator({
    client,
    config: own,
    log: silentLog(),
    fieldManager: 'chaosplane-operator',
    namespace: home,
    recorder: createEventRecorder({
      client,
      controller: 'chaosplane-controller',
      instance: 'test',
    }),
    clock: systemClock,
    monotonic: systemMonotonic,
  })
  await operator.start()
}

const finalizer = 'chaos.chaosplane.io/run'
const place = (name: string, subresource?: string) =>
  resourcePath({ ...chaosExperiments, namespace, name, ...(subresource ? { subresource } : {}) })
const get = (name: string) => tests.get<Experiment>(place(name), call)

/** An experiment that runner `r` has claimed. */
async function createClaimed(name: string): Promise<Experiment> {
  return await tests.create<Experiment>(
    resourcePath({ ...chaosExperiments, namespace }),
    {
      apiVersion: apiVersionOf(chaosExperiments),
      kind: 'ChaosExperiment',
      metadata: {
        name,
        finalizers: [finalizer],
        annotations: { 'chaos.chaosplane.io/claimed-by': 'r/1' },
      },
      spec: {
        target: { kind: 'Pod', namespace: 'demo', names: ['a'] },
        action: { type: 'pod-kill' },
        duration: '10s',
      },
    },
    call,
  )
}

/** Writes status.run as the runner does. */
async function asRunner(of: Experiment, change: Partial<RunState>): Promise<void> {
  const body = {
    apiVersion: apiVersionOf(chaosExperiments),
    kind: 'ChaosExperiment',
    metadata: { name: of.metadata.name, namespace },
    status: { run: runOf(of, change) },
  }
  const by = { ...call, fieldManager: 'chaosplane-runner', force: true }
  await tests.apply(place(of.metadata.name, 'status'), body, by)
}

const letGo = (of: Experiment) =>
  tests.mergePatch(
    place(of.metadata.name),
    { metadata: { finalizers: [], annotations: { 'chaos.chaosplane.io/claimed-by': null } } },
    call,
  )

async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  const limit = systemMonotonic() + 30_000
  for (;;) {
    const seen = await look()
    if (seen) return seen
    if (systemMonotonic() > limit) throw new Error(`never saw: ${what}`)
    await systemClock.sleep(30, call.signal)
  }
}

const untilPhase = (name: string, phase: string) =>
  until(`${name} ${phase}`, async () => {
    const object = await get(name)
    return object.status?.phase === phase && object
  })

const conditionsOf = ({ status }: Experiment): Record<string, string> =>
  Object.fromEntries((status?.conditions ?? []).map((c) => [c.type, `${c.status} ${c.reason}`]))

type Told = KubeObject & { reason: string; type: string; note: string; regarding: { uid: string } }
async function toldAbout({ metadata }: Experiment): Promise<Told[]> {
  const { items } = await tests.list<Told>(resourcePath({ ...events, namespace }), call)
  return items.filter(({ regarding }) => regarding.uid === metadata.uid)
}
const reasonsOf = async (of: Experiment) => (await toldAbout(of)).map(({ reason }) => reason).sort()

/** What the operator asked of the API server about one namespace since `from`, watches and lists apart. */
async function requestsSince(from: number): Promise<string[]> {
  const { events: seen } = await readAudit(inject('apiAuditLog'), from)
  const mine = seen.filter(
    (e: AuditEvent) => e.userAgent === agent && e.objectRef?.namespace === namespace,
  )
  return mine
    .filter(({ verb }) => verb !== 'watch' && verb !== 'list')
    .map(
      ({ verb, objectRef }) =>
        `${verb} ${objectRef?.resource}${objectRef?.subresource ? `/${objectRef.subresource}` : ''}`,
    )
}
const auditEnd = async () => (await readAudit(inject('apiAuditLog'))).next

/** The Lease by which runner `r` lives, kept alive until the signal. */
async function keepRunner(signal: AbortSignal): Promise<void> {
  const name = 'chaosplane-runner-r'
  const labels = { 'chaos.chaosplane.io/runner': 'true' }
  while (!signal.aborted) {
    const renewTime = microTime(systemClock.now())
    const spec = { holderIdentity: '1', leaseDurationSeconds: 5, renewTime }
    const body = {
      apiVersion: apiVersionOf(leases),
      kind: 'Lease',
      metadata: { name, labels },
      spec,
    }
    const path = resourcePath({ ...leases, namespace: home, name })
    await tests.apply(path, body, { ...call, fieldManager: 'r', force: true })
    await systemClock.sleep(1_000, signal).catch(() => {})
  }
}

describe('the operator on a real API server', () => {
  it('tells a plain run with two status writes and two Events', async () => {
    await startOperator()
    const from = await auditEnd()
    const object = await createClaimed('plain')
    await asRunner(object, { tasks: [running] })
    const during = await untilPhase('plain', 'Running')
    expect(conditionsOf(during)).toMatchObject({
      Progressing: 'True ExperimentStarted',
      Available: 'False ExperimentStarted',
      Claimed: 'True RunnerFound',
    })
    expect(during.status).toMatchObject({
      verdict: 'Awaited',
      progress: '0/1',
      startTime: '2026-11-01T10:00:00Z',
      affectedResources: ['Pod/demo/a'],
      observedGeneration: 1,
    })
    await asRunner(object, { tasks: [done], finishedAt: startedAt + 10_000 })
    await letGo(object)
    const after = await untilPhase('plain', 'Completed')
    expect(after.status).toMatchObject({
      verdict: 'Pass',
      resiliencyScore: 100,
      endTime: '2026-11-01T10:00:10Z',
      run: { finishedAt: startedAt + 10_000 },
    })
    expect(conditionsOf(after)).toEqual({
      Progressing: 'False ExperimentCompleted',
      Available: 'True ExperimentCompleted',
      Degraded: 'False ExperimentCompleted',
      Claimed: 'True RunnerFound',
    })
    await until('both Events', async () => (await reasonsOf(object)).length === 2)
    expect(await reasonsOf(object)).toEqual(['Completed', 'Started'])
    await systemClock.sleep(700, call.signal)
    expect((await requestsSince(from)).sort()).toEqual([
      'create events',
      'create events',
      'patch chaosexperiments/status',
      'patch chaosexperiments/status',
    ])
  })

  it('owns every field of status but run, and the runner run alone', async () => {
    const { metadata } = await get('plain')
    type Managed = { manager: string; subresource?: string; fieldsV1: Record<string, object> }
    const managers = (metadata.managedFields as Managed[]).filter((m) => m.subresource === 'status')
    const fields = managers.map((m) => [
      m.manager,
      Object.keys((m.fieldsV1 as { 'f:status': object })['f:status']),
    ])
    const owned = Object.fromEntries(fields) as Record<string, string[]>
    expect(Object.keys(owned).sort()).toEqual(['chaosplane-operator', 'chaosplane-runner'])
    expect(owned['chaosplane-runner']).toEqual(['f:run'])
    expect(owned['chaosplane-operator']).toContain('f:phase')
    expect(owned['chaosplane-operator']).not.toContain('f:run')
  })

  it('of a second replica tells nothing anew about what is over', async () => {
    const from = await auditEnd()
    await startOperator()
    await until('caches', async () => operator?.ready())
    await systemClock.sleep(1_000, call.signal)
    expect(await requestsSince(from)).toEqual([])
  })

  it('says when an abort came, a spec was edited, and who is still owed', async () => {
    await startOperator()
    const object = await createClaimed('rough')
    await asRunner(object, { tasks: [running] })
    await untilPhase('rough', 'Running')
    await tests.mergePatch(place('rough'), { spec: { duration: '99s' } }, call)
    const owed = { ...target, state: 'owed' as const, remaining: ['sh undo.sh'] }
    const abort = { by: 'annotation', at: startedAt + 5_000 }
    await asRunner(object, { tasks: [{ ...running, stage: 'reverting', targets: [owed] }], abort })
    const stuck = await until('Stuck', async () => {
      const seen = await get('rough')
      return 'Stuck' in conditionsOf(seen) && 'SpecChanged' in conditionsOf(seen) && seen
    })
    expect(conditionsOf(stuck)).toMatchObject({
      SpecChanged: 'True Ignored',
      Stuck: 'True RollbackFailed',
    })
    const message = stuck.status?.conditions?.find(({ type }) => type === 'Stuck')?.message
    expect(message).toContain('demo/a on node n1')
    expect(message).toContain('sh undo.sh')
    await asRunner(object, { tasks: [done], abort, finishedAt: startedAt + 10_000 })
    const after = await untilPhase('rough', 'Aborted')
    expect(conditionsOf(after)).toMatchObject({ Progressing: 'False ExperimentAborted' })
    expect(conditionsOf(after)['Stuck']).toBeUndefined()
    const reasons = ['AbortTriggered', 'Aborted', 'RollbackFailed', 'SpecChanged', 'Started']
    await until('all Events', async () => (await reasonsOf(object)).length >= reasons.length)
    expect(await reasonsOf(object)).toEqual(reasons)
    await letGo(object)
  })

  it('says with each path why a document was refused', async () => {
    await startOperator()
    const object = await createClaimed('refused')
    const refused = [
      { path: 'spec.action.type', reason: 'no such fault', suggestion: 'use pod-kill' },
    ]
    await asRunner(object, { refused, finishedAt: startedAt, notes: ['spec.x is not used.'] })
    const after = await untilPhase('refused', 'Failed')
    expect(conditionsOf(after)).toMatchObject({
      Refused: 'True InvalidSpec',
      FieldsIgnored: 'True NotUsed',
      Degraded: 'True ExperimentFailed',
    })
    await until('one Event', async () => (await reasonsOf(object)).length === 1)
    const [told] = await toldAbout(object)
    expect(told).toMatchObject({ reason: 'Failed', type: 'Warning' })
    expect(told?.note).toBe('spec.action.type: no such fault; use pod-kill')
    await letGo(object)
  })

  it('says when no runner claims a run, and when the runner of a run has gone', async () => {
    const life = new AbortController()
    const living = keepRunner(life.signal)
    await startOperator()
    const path = resourcePath({ ...chaosExperiments, namespace })
    const lonely = await createClaimed('abandoned')
    const { spec } = lonely
    const body = { ...lonely, metadata: { name: 'unclaimed' }, spec }
    const unclaimed = await tests.create<Experiment>(path, body, call)
    await asRunner(lonely, {
      tasks: [{ ...running, targets: [{ ...target, endsAt: startedAt + 9_000 }] }],
    })
    await untilPhase('abandoned', 'Running')
    expect(conditionsOf(await get('abandoned'))['Stuck']).toBeUndefined()
    life.abort()
    await living
    const gone = await until('Stuck', async () => {
      const seen = await get('abandoned')
      return 'Stuck' in conditionsOf(seen) && seen
    })
    const condition = gone.status?.conditions?.find(({ type }) => type === 'Stuck')
    expect(condition).toMatchObject({ status: 'True', reason: 'RunnerGone' })
    expect(condition?.message).toContain(
      'demo/a on node n1, ends by itself at 2026-11-01T10:00:09.000Z',
    )
    const seen = await get('unclaimed')
    expect(conditionsOf(seen)['Claimed']).toBe('False NoRunner')
    await until('NoRunner', async () => (await reasonsOf(unclaimed)).includes('NoRunner'))
    await until('RunnerGone', async () => (await reasonsOf(lonely)).includes('RunnerGone'))
    await asRunner(lonely, { tasks: [done], finishedAt: startedAt + 10_000 })
    await untilPhase('abandoned', 'Completed')
    await letGo(lonely)
    await tests.remove(place('unclaimed'), call)
  })

  it('sweeps the pods of what is over, and leaves those of what runs', async () => {
    const over = await get('plain')
    const runs = await createClaimed('runs')
    await asRunner(runs, { tasks: [running] })
    const podPath = (name?: string) =>
      resourcePath({ ...pods, namespace, ...(name ? { name } : {}) })
    const podOf = (name: string, uid: string) => ({
      metadata: {
        name,
        labels: { 'chaos.chaosplane.io/run': 'x', 'chaos.chaosplane.io/resource-uid': uid },
      },
      spec: { containers: [{ name: 'c', image: 'none' }], automountServiceAccountToken: false },
    })
    await tests.create(podPath(), podOf('left', over.metadata.uid), call)
    await tests.create(podPath(), podOf('needed', runs.metadata.uid), call)
    await startOperator()
    await until('the sweep', async () => !(await tests.find(podPath('left'), call)))
    expect(await tests.find(podPath('needed'), call)).toBeDefined()
    await tests.remove(podPath('needed'), { ...call, gracePeriodSeconds: 0 })
    await letGo(runs)
  })

  it('drains: asks each active run to end, and names what is left at the deadline', async () => {
    const object = await createClaimed('draining')
    await asRunner(object, { tasks: [running] })
    const parts = { client, clock: systemClock, log: silentLog() }
    const left = await drain({ ...parts, deadlineMs: 0 }, call.signal)
    expect(left).toEqual([
      `chaosexperiments/${namespace}/draining is still held by r: not yet put back: demo/a on n1`,
    ])
    expect((await get('draining')).metadata.annotations?.['chaos.chaosplane.io/abort']).toBe('true')
    const draining = drain({ ...parts, deadlineMs: 20_000 }, call.signal)
    await letGo(object)
    expect(await draining).toEqual([])
  })
})
