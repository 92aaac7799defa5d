import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock, systemMonotonic } from '../lib/clock.ts'
import { chaosExperiments, configMaps, pods, resourcePath } from '../lib/kube/paths.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import { silentLog } from '../lib/log.ts'
import { haltAnnotation, haltConfigMap } from '../model/halt.ts'
import { type AuditEvent, endOfAudit, readAudit } from '../test-e2e/cluster/audit.ts'
import { apiServer } from '../test-e2e/setup/worker.ts'
import { drain } from './drain.ts'
import type { Experiment } from './experiment/observe.ts'
import { done, running, startedAt, target } from './testing/runs.ts'
import { conditionsOf, Stage } from './testing/stage.ts'

const home = 'operator-home'
const namespace = 'operator-tests'
const agent = 'chaosplane-operator-test/1'
let stage: Stage
const call = { signal: AbortSignal.timeout(240_000) }

beforeAll(async () => {
  stage = await Stage.set({ kubeconfig: apiServer().kubeconfig, home, namespace, agent })
})
afterEach(() => stage.stopOperator())
afterAll(() => stage?.end())

/** What the operator asked of the API server about one namespace since `from`, watches and lists apart. */
async function requestsSince(from: number): Promise<string[]> {
  const seen = await readAudit(apiServer().auditLog, from)
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
const auditEnd = () => endOfAudit(apiServer().auditLog)

describe('the operator on a real API server', () => {
  it('tells a plain run with two status writes and two Events', async () => {
    await stage.startOperator()
    const from = await auditEnd()
    const object = await stage.createClaimed('plain')
    await stage.asRunner(object, { tasks: [running] })
    const during = await stage.untilPhase('plain', 'Running')
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
    await stage.asRunner(object, { tasks: [done], finishedAt: startedAt + 10_000 })
    await stage.letGo(object)
    const after = await stage.untilPhase('plain', 'Completed')
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
    await stage.until('both Events', async () => (await stage.reasonsOf(object)).length === 2)
    expect(await stage.reasonsOf(object)).toEqual(['Completed', 'Started'])
    await systemClock.sleep(700, call.signal)
    expect((await requestsSince(from)).sort()).toEqual([
      'create events',
      'create events',
      'patch chaosexperiments/status',
      'patch chaosexperiments/status',
    ])
  })

  it('owns every field of status but run, and the runner run alone', async () => {
    const { metadata } = await stage.get('plain')
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
    await stage.startOperator()
    await stage.until('caches', async () => stage.operator?.ready())
    await systemClock.sleep(1_000, call.signal)
    expect(await requestsSince(from)).toEqual([])
  })

  it('says when an abort came, a spec was edited, and who is still owed', async () => {
    await stage.startOperator()
    const object = await stage.createClaimed('rough')
    await stage.asRunner(object, { tasks: [running] })
    await stage.untilPhase('rough', 'Running')
    await stage.tests.mergePatch(stage.place('rough'), { spec: { duration: '99s' } }, call)
    const owed = { ...target, state: 'owed' as const, remaining: ['sh undo.sh'] }
    const abort = { by: 'annotation', at: startedAt + 5_000 }
    await stage.asRunner(object, {
      tasks: [{ ...running, stage: 'reverting', targets: [owed] }],
      abort,
    })
    const stuck = await stage.until('Stuck', async () => {
      const seen = await stage.get('rough')
      return 'Stuck' in conditionsOf(seen) && 'SpecChanged' in conditionsOf(seen) && seen
    })
    expect(conditionsOf(stuck)).toMatchObject({
      SpecChanged: 'True Ignored',
      Stuck: 'True RollbackFailed',
    })
    const message = stuck.status?.conditions?.find(({ type }) => type === 'Stuck')?.message
    expect(message).toContain('demo/a on node n1')
    expect(message).toContain('sh undo.sh')
    await stage.asRunner(object, { tasks: [done], abort, finishedAt: startedAt + 10_000 })
    const after = await stage.untilPhase('rough', 'Aborted')
    expect(conditionsOf(after)).toMatchObject({ Progressing: 'False ExperimentAborted' })
    expect(conditionsOf(after)['Stuck']).toBeUndefined()
    const reasons = ['AbortTriggered', 'Aborted', 'RollbackFailed', 'SpecChanged', 'Started']
    await stage.until(
      'all Events',
      async () => (await stage.reasonsOf(object)).length >= reasons.length,
    )
    expect(await stage.reasonsOf(object)).toEqual(reasons)
    await stage.letGo(object)
  })

  it('says with each path why a document was refused', async () => {
    await stage.startOperator()
    const object = await stage.createClaimed('refused')
    const refused = [
      { path: 'spec.action.type', reason: 'no such fault', suggestion: 'use pod-kill' },
    ]
    await stage.asRunner(object, { refused, finishedAt: startedAt, notes: ['spec.x is not used.'] })
    const after = await stage.untilPhase('refused', 'Failed')
    expect(conditionsOf(after)).toMatchObject({
      Refused: 'True InvalidSpec',
      FieldsIgnored: 'True NotUsed',
      Degraded: 'True ExperimentFailed',
    })
    await stage.until('one Event', async () => (await stage.reasonsOf(object)).length === 1)
    const [told] = await stage.toldAbout(object)
    expect(told).toMatchObject({ reason: 'Failed', type: 'Warning' })
    expect(told?.note).toBe('spec.action.type: no such fault; use pod-kill')
    await stage.letGo(object)
  })

  it('says when no runner claims a run, and when the runner of a run has gone', async () => {
    const life = new AbortController()
    const living = stage.keepRunner(life.signal)
    await stage.startOperator()
    const path = resourcePath({ ...chaosExperiments, namespace })
    const lonely = await stage.createClaimed('abandoned')
    const { spec } = lonely
    const body = { ...lonely, metadata: { name: 'unclaimed' }, spec }
    const unclaimed = await stage.tests.create<Experiment>(path, body, call)
    await stage.asRunner(lonely, {
      tasks: [{ ...running, targets: [{ ...target, endsAt: startedAt + 9_000 }] }],
    })
    await stage.untilPhase('abandoned', 'Running')
    expect(conditionsOf(await stage.get('abandoned'))['Stuck']).toBeUndefined()
    life.abort()
    await living
    const gone = await stage.until('Stuck', async () => {
      const seen = await stage.get('abandoned')
      return 'Stuck' in conditionsOf(seen) && seen
    })
    const condition = gone.status?.conditions?.find(({ type }) => type === 'Stuck')
    expect(condition).toMatchObject({ status: 'True', reason: 'RunnerGone' })
    expect(condition?.message).toContain(
      'demo/a on node n1, ends by itself at 2026-11-01T10:00:09.000Z',
    )
    const seen = await stage.get('unclaimed')
    expect(conditionsOf(seen)['Claimed']).toBe('False NoRunner')
    await stage.until('NoRunner', async () =>
      (await stage.reasonsOf(unclaimed)).includes('NoRunner'),
    )
    await stage.until('RunnerGone', async () =>
      (await stage.reasonsOf(lonely)).includes('RunnerGone'),
    )
    await stage.asRunner(lonely, { tasks: [done], finishedAt: startedAt + 10_000 })
    await stage.untilPhase('abandoned', 'Completed')
    await stage.letGo(lonely)
    await stage.tests.remove(stage.place('unclaimed'), call)
  })

  it('sweeps the pods of what is over, and leaves those of what runs', async () => {
    const over = await stage.get('plain')
    const runs = await stage.createClaimed('runs')
    await stage.asRunner(runs, { tasks: [running] })
    const podPath = (name?: string) =>
      resourcePath({ ...pods, namespace, ...(name ? { name } : {}) })
    const podOf = (name: string, uid: string) => ({
      metadata: {
        name,
        labels: { 'chaos.chaosplane.io/run': 'x', 'chaos.chaosplane.io/resource-uid': uid },
      },
      spec: { containers: [{ name: 'c', image: 'none' }], automountServiceAccountToken: false },
    })
    await stage.tests.create(podPath(), podOf('left', over.metadata.uid), call)
    await stage.tests.create(podPath(), podOf('needed', runs.metadata.uid), call)
    await stage.startOperator()
    await stage.until('the sweep', async () => !(await stage.tests.find(podPath('left'), call)))
    expect(await stage.tests.find(podPath('needed'), call)).toBeDefined()
    await stage.tests.remove(podPath('needed'), { ...call, gracePeriodSeconds: 0 })
    await stage.letGo(runs)
  })

  it('says Stuck when the record cannot be read, and no more when it is restored', async () => {
    const object = await stage.createClaimed('unreadable')
    await stage.asRunner(object, { tasks: [running] })
    await stage.startOperator()
    await stage.untilPhase('unreadable', 'Running')
    // more than a number of this program can hold, and nothing that the API server would refuse
    await stage.asRunner(object, { tasks: [running], adoptions: 2 ** 60 })
    const stuck = await stage.until('Stuck', async () => {
      const seen = await stage.get('unreadable')
      return conditionsOf(seen)['Stuck'] !== undefined && seen
    })
    expect(stuck.status?.phase).toBe('Running')
    expect(conditionsOf(stuck)).toMatchObject({
      Stuck: 'True RecordUnreadable',
      Progressing: 'True ExperimentStarted',
    })
    expect(stage.operator?.metrics()).toContain('chaosplane_stuck_runs')
    await stage.asRunner(object, { tasks: [done], finishedAt: startedAt + 10_000 })
    const after = await stage.untilPhase('unreadable', 'Completed')
    expect(conditionsOf(after)['Stuck']).toBeUndefined()
    await stage.letGo(object)
  })

  const drainingParts = () => ({
    client: stage.client,
    clock: systemClock,
    monotonic: systemMonotonic,
    log: silentLog(),
    namespace: home,
    self: 'drain-0',
  })

  it('drains: pulls the kill switch, unless a human has, asks each active run to end, and names what is left at the deadline', async () => {
    const map = resourcePath({ ...configMaps, namespace: home, name: haltConfigMap })
    const fresh = { metadata: { name: haltConfigMap } }
    await stage.tests.create(resourcePath({ ...configMaps, namespace: home }), fresh, call)
    const reason = async () =>
      (await stage.tests.get<KubeObject>(map, call)).metadata.annotations?.[haltAnnotation]
    const object = await stage.createClaimed('draining')
    await stage.asRunner(object, { tasks: [running] })
    const parts = drainingParts()
    const left = await drain({ ...parts, deadlineMs: 0 }, call.signal)
    expect(left).toEqual([
      `chaosexperiments/${namespace}/draining is still held by r: not yet put back: demo/a on n1`,
    ])
    expect((await stage.get('draining')).metadata.annotations?.['chaos.chaosplane.io/abort']).toBe(
      'true',
    )
    expect(await reason()).toBe('chaosplane is being uninstalled')
    const metadata = { annotations: { [haltAnnotation]: 'incident 17' } }
    await stage.tests.mergePatch(map, { metadata }, call)
    const draining = drain({ ...parts, deadlineMs: 20_000 }, call.signal)
    await stage.letGo(object)
    expect(await draining).toEqual([])
    expect(await reason()).toBe('incident 17')
  })

  it('drains: lets go itself of what owes nothing and has no runner', async () => {
    const over = await stage.createClaimed('drained-over')
    await stage.asRunner(over, { tasks: [done], finishedAt: startedAt + 10_000 })
    const unrecorded = await stage.createClaimed('drained-unrecorded')
    expect(await drain({ ...drainingParts(), deadlineMs: 30_000 }, call.signal)).toEqual([])
    for (const { metadata } of [over, unrecorded]) {
      const after = await stage.get(metadata.name)
      expect(after.metadata.finalizers).toBeUndefined()
      // installed anew, a runner does not begin it for the sake of nobody
      expect(after.metadata.annotations).toEqual({ 'chaos.chaosplane.io/abort': 'true' })
    }
  })
})
