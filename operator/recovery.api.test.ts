import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock, systemMonotonic } from '../lib/clock.ts'
import { leases, namespaces, pods, resourcePath } from '../lib/kube/paths.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import type { NodeOrder } from '../model/fault-pod.ts'
import { podName } from '../model/fault-pod-recovery.ts'
import { runFinalizer } from '../model/runner-life.ts'
import { slotLabels, slotSelector } from '../model/slots.ts'
import { endOfAudit, readAudit } from '../test-e2e/cluster/audit.ts'
import { apiServer } from '../test-e2e/setup/worker.ts'
import type { Experiment } from './experiment/observe.ts'
import { running, target } from './testing/runs.ts'
import { conditionsOf, Stage } from './testing/stage.ts'

const home = 'recovery-home'
let stage: Stage

beforeAll(async () => {
  stage = await Stage.set({
    kubeconfig: apiServer().kubeconfig,
    home,
    namespace: 'recovery-tests',
    agent: 'chaosplane-operator-test/2',
  })
})
afterAll(() => stage?.end())

type Made = KubeObject & {
  spec: { nodeName: string; containers: { name: string; env: { name: string; value: string }[] }[] }
}
const podPath = (name: string): string => resourcePath({ ...pods, namespace: home, name })
const ownerOf = ({ metadata }: Experiment) => ({
  run: metadata.uid,
  task: running.name,
  node: 'n1',
})
const nameOf = (of: Experiment, attempt: number): string => podName(ownerOf(of), attempt)
const find = (name: string) => stage.tests.find<Made>(podPath(name), stage.call)
const shown = (name: string): Promise<Made> => stage.until(name, () => find(name))

/** A run whose first fault pod is on record. */
async function held(name: string, state: 'injected' | 'owed' = 'injected'): Promise<Experiment> {
  const object = await stage.createClaimed(name)
  const targets = [{ ...target, container: 'app', containerId: 'c1', state }]
  const acknowledged = { n1: 7 }
  const pods = [nameOf(object, 1)]
  const task = { ...running, fault: 'pod-cpu-hog', targets, pods, acknowledged }
  await stage.asRunner(object, { tasks: [task] })
  return object
}

/** The pod that its runner has made. */
async function createFirst(of: Experiment, name: string): Promise<void> {
  const body = {
    metadata: {
      name,
      labels: {
        'chaos.chaosplane.io/run': 'x',
        'chaos.chaosplane.io/resource-uid': of.metadata.uid,
      },
    },
    spec: {
      nodeName: 'n1',
      automountServiceAccountToken: false,
      containers: ['fault', 'guard'].map((container) => ({ name: container, image: 'none' })),
    },
  }
  await stage.tests.create(resourcePath({ ...pods, namespace: home }), body, stage.call)
}

const slots = resourcePath({ ...leases, namespace: home })
/** What its runner held alone for one of its targets when it died. */
const holdSlot = ({ metadata: { name, uid } }: Experiment) =>
  stage.tests.create(
    slots,
    { metadata: { name: `slot-of-${name}`, labels: slotLabels(uid) }, spec: {} },
    stage.call,
  )
const slotsOf = async ({ metadata: { uid } }: Experiment) => {
  const query = { labelSelector: slotSelector(uid) }
  return (await stage.tests.list(slots, { ...stage.call, query })).items
}

/** What kubelet would say of the program's container. */
async function says(name: string, state: object): Promise<void> {
  const status = {
    phase: 'Running',
    containerStatuses: [
      { name: 'fault', image: 'x', imageID: 'x', ready: false, restartCount: 1, state },
      {
        name: 'guard',
        image: 'x',
        imageID: 'x',
        ready: true,
        restartCount: 0,
        state: { running: {} },
      },
    ],
  }
  await stage.tests.mergePatch(`${podPath(name)}/status`, { status }, stage.call)
}

const quotas = { group: '', version: 'v1', plural: 'resourcequotas', namespace: home }
const noPods = { pods: '0' }

/** No pod more in the product's namespace. There is no controller: what it would say of the quota is said here. */
async function fullQuota(): Promise<void> {
  const body = { metadata: { name: 'full' }, spec: { hard: noPods } }
  await stage.tests.create(resourcePath(quotas), body, stage.call)
  const status = { hard: noPods, used: noPods }
  const path = resourcePath({ ...quotas, name: 'full', subresource: 'status' })
  await stage.tests.mergePatch(path, { status }, stage.call)
}
const enforce = (level: string | null) =>
  stage.tests.mergePatch(
    resourcePath({ ...namespaces, name: home }),
    { metadata: { labels: { 'pod-security.kubernetes.io/enforce': level } } },
    stage.call,
  )
const hindrances = {
  'a quota': {
    put: fullQuota,
    lift: () => stage.tests.remove(resourcePath({ ...quotas, name: 'full' }), stage.call),
    said: ['exceeded quota: full', `Raise the ResourceQuota of namespace ${home}.`],
  },
  'Pod Security': {
    put: () => enforce('restricted'),
    lift: () => enforce(null),
    said: ['violates PodSecurity', `kubectl label namespace ${home} --overwrite`],
  },
} satisfies Record<string, { put(): unknown; lift(): unknown; said: string[] }>

const auditEnd = () => endOfAudit(apiServer().auditLog)
/** When the API server refused pods of the operator, unix milliseconds. */
async function refusalsSince(from: number): Promise<number[]> {
  const events = await readAudit(apiServer().auditLog, from)
  return events
    .filter(
      ({ verb, objectRef, responseStatus }) =>
        verb === 'create' &&
        objectRef?.resource === 'pods' &&
        objectRef.namespace === home &&
        responseStatus?.code === 403,
    )
    .map(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp))
}

describe('recovery by the operator on a real API server', () => {
  afterEach(() => stage.stopOperator())

  it('makes a pod that sweeps the node of a lost one, again when that is lost, and tells it', async () => {
    const object = await held('lost')
    const operator = await stage.startOperator()
    const name = nameOf(object, 2)
    const made = await shown(name)
    expect(made.spec.nodeName).toBe('n1')
    const order = JSON.parse(
      made.spec.containers[0]?.env.find((one) => one.name === 'CHAOSPLANE_ORDER')?.value ?? '',
    ) as NodeOrder
    expect(order).toMatchObject({
      ...ownerOf(object),
      start: 'sweep',
      attempt: 2,
      after: 7,
      resource: { kind: 'ChaosExperiment', name: 'lost', uid: object.metadata.uid },
      targets: [{ id: 'demo/a', containerId: 'c1', touched: true }],
    })
    expect(order.cluster).toMatch(/^[0-9a-f-]{36}$/)
    expect(made.spec.containers[0]).toMatchObject({
      image: 'chaosplane:test',
      securityContext: { capabilities: { add: ['SYS_ADMIN', 'SYS_PTRACE'] } },
    })
    expect(made.spec).toMatchObject({ imagePullSecrets: [{ name: 'registry' }] })
    await stage.until('the Event', async () =>
      (await stage.toldAbout(object)).find(
        ({ reason, note }) => reason === 'RecoveryPodCreated' && note.includes(name),
      ),
    )
    expect(operator.metrics()).toContain('chaosplane_recovery_pods_total{by="operator"} 1\n')
    await stage.tests.remove(podPath(name), { ...stage.call, gracePeriodSeconds: 0 })
    await shown(nameOf(object, 3))
    await stage.letGo(object)
  })

  it.each(Object.entries(hindrances))(
    'a pod that %s refuses is told of, tried again ever later, and made when it is allowed',
    async (what, { put, lift, said }) => {
      const name = `refused-by-${what.replaceAll(' ', '-').toLowerCase()}`
      const object = await held(name)
      await put()
      const from = await auditEnd()
      try {
        await stage.startOperator()
        const told = await stage.until('the Event', async () =>
          (await stage.toldAbout(object)).find(({ reason }) => reason === 'RecoveryPodRefused'),
        )
        expect(told.type).toBe('Warning')
        for (const part of [...said, nameOf(object, 2), 'node n1'])
          expect(told.note).toContain(part)
        // It is not for want of a right.
        expect(told.note).not.toContain('grant this verb')
        const tries = await stage.until('four tries', async () => {
          const all = await refusalsSince(from)
          return all.length >= 4 && all
        })
        const waits = tries.slice(1).map((at, i) => at - (tries[i] ?? 0))
        expect(waits[2], `${waits}`).toBeGreaterThan(1_500)
        expect(waits[2], `${waits}`).toBeGreaterThan((waits[0] ?? 0) * 1.5)
        expect(await find(nameOf(object, 2))).toBeUndefined()
        // Nothing else was touched meanwhile.
        expect((await stage.get(name)).status?.run).toMatchObject({
          tasks: [{ targets: [{ id: 'demo/a', state: 'injected' }] }],
        })
      } finally {
        await lift()
      }
      await shown(nameOf(object, 2))
      await stage.until('the Event', async () =>
        (await stage.reasonsOf(object)).includes('RecoveryPodCreated'),
      )
      await stage.letGo(object)
    },
  )

  it('leaves a living runner its moment, does not wait for kubelet, and asks no more when all is put back', async () => {
    const life = new AbortController()
    const living = stage.keepRunner(life.signal)
    const object = await held('backing-off')
    const [first, second, third] = [1, 2, 3].map((n) => nameOf(object, n)) as [
      string,
      string,
      string,
    ]
    await createFirst(object, first)
    await says(first, { running: {} })
    await stage.startOperator()
    await systemClock.sleep(2500, stage.call.signal)
    expect(await find(second)).toBeUndefined()
    const from = systemMonotonic()
    await says(first, { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } })
    await shown(second)
    expect(systemMonotonic() - from).toBeGreaterThan(1400)
    expect(systemMonotonic() - from).toBeLessThan(4000)
    await stage.tests.mergePatch(
      `${podPath(second)}/status`,
      { status: { phase: 'Succeeded' } },
      stage.call,
    )
    await systemClock.sleep(2500, stage.call.signal)
    expect(await find(third)).toBeUndefined()
    life.abort()
    await living
    await stage.letGo(object)
  })

  it('does nothing for what is put back, or was let go', async () => {
    const over = await held('put-back')
    const targets = [{ ...target, state: 'reverted' as const }]
    await stage.asRunner(over, { tasks: [{ ...running, pods: [nameOf(over, 1)], targets }] })
    const free = await held('free')
    await stage.letGo(free)
    await stage.startOperator()
    await stage.until('caches', async () => stage.operator?.ready())
    await systemClock.sleep(2500, stage.call.signal)
    expect(await find(nameOf(over, 2))).toBeUndefined()
    expect(await find(nameOf(free, 2))).toBeUndefined()
    await stage.letGo(over)
  })

  it('leaves a deleted resource to its runner while that lives', async () => {
    const life = new AbortController()
    const living = stage.keepRunner(life.signal)
    const object = await stage.createClaimed('its-runner-lives')
    await stage.tests.remove(stage.place('its-runner-lives'), { ...stage.call })
    await stage.startOperator()
    await stage.until('caches', async () => stage.operator?.ready())
    await systemClock.sleep(11_000, stage.call.signal)
    expect((await stage.get('its-runner-lives')).metadata.finalizers).toContain(runFinalizer)
    life.abort()
    await living
    await stage.letGo(object)
  })
})

/** Each of them waits out the time in which a runner may come back. */
describe.concurrent('an operator whose runners have gone', () => {
  beforeAll(async () => {
    await stage.startOperator()
  })
  afterAll(() => stage.stopOperator())

  it('gives a run without a runner up when a human says why, and only then', async () => {
    const object = await held('given-up', 'owed')
    await stage.annotate(object, { 'chaos.chaosplane.io/abandon': '' })
    await stage.until('the refusal', async () =>
      (await stage.reasonsOf(object)).includes('AbandonRefused'),
    )
    const refused = await stage.until('the annotation gone', async () => {
      const seen = await stage.get('given-up')
      return !('chaos.chaosplane.io/abandon' in (seen.metadata.annotations ?? {})) && seen
    })
    expect(refused.metadata.finalizers).toContain(runFinalizer)
    await holdSlot(object)
    await stage.annotate(object, { 'chaos.chaosplane.io/abandon': 'the node burned' })
    const after = await stage.until('the end', async () => {
      const seen = await stage.get('given-up')
      return seen.status?.verdict === 'Error' && !seen.metadata.finalizers?.length && seen
    })
    expect(after.status?.run).toMatchObject({
      abandoned: { reason: 'the node burned' },
      tasks: [{ targets: [{ id: 'demo/a', state: 'abandoned' }] }],
    })
    const [left] = after.status?.run?.tasks[0]?.targets[0]?.remaining ?? []
    expect(left).toMatch(/^on node n1, as root: for f in \/var\/lib\/chaosplane\//)
    expect(conditionsOf(after)).toMatchObject({ Abandoned: 'True GivenUp' })
    expect(conditionsOf(after)['Stuck']).toBeUndefined()
    await stage.until('the Event', async () =>
      (await stage.reasonsOf(object)).includes('Abandoned'),
    )
    expect(after.metadata.annotations ?? {}).toEqual({})
    expect(await slotsOf(object)).toEqual([])
  })

  it('lets go of a deleted resource without a runner as soon as nothing is owed', async () => {
    const reverted = { ...running, targets: [{ ...target, state: 'reverted' as const }] }
    const over = await held('over')
    await stage.asRunner(over, { tasks: [{ ...reverted, stage: 'done' }], finishedAt: 9 })
    const unrecorded = await stage.createClaimed('unrecorded')
    const putBack = await held('all-put-back')
    await stage.asRunner(putBack, { tasks: [reverted] })
    const owing = await held('owing', 'owed')
    const objects = [over, unrecorded, putBack, owing]
    for (const holder of [putBack, owing]) await holdSlot(holder)
    for (const { metadata } of objects)
      await stage.tests.remove(stage.place(metadata.name), { ...stage.call })
    for (const { metadata } of objects.slice(0, 3))
      await stage.until(`${metadata.name} gone`, async () => {
        const path = stage.place(metadata.name)
        return (await stage.tests.find(path, stage.call)) === undefined
      })
    expect(await slotsOf(putBack)).toEqual([])
    expect(await slotsOf(owing)).toHaveLength(1)
    const kept = await stage.get('owing')
    expect(kept.metadata.finalizers).toContain(runFinalizer)
    expect(kept.metadata.annotations?.['chaos.chaosplane.io/claimed-by']).toBe('r/1')
    await stage.letGo(owing)
  })

  it('says that there is nothing to give up, and takes the annotation off', async () => {
    const object = await held('owes-nothing')
    const targets = [{ ...target, state: 'reverted' as const }]
    await stage.asRunner(object, { tasks: [{ ...running, targets }] })
    await stage.annotate(object, { 'chaos.chaosplane.io/abandon': 'the node burned' })
    await stage.until('the annotation gone', async () => {
      const { metadata } = await stage.get('owes-nothing')
      return !('chaos.chaosplane.io/abandon' in (metadata.annotations ?? {}))
    })
    await stage.until('the Event', async () =>
      (await stage.toldAbout(object)).find(
        ({ reason, note, type }) =>
          reason === 'AbandonIgnored' && type === 'Warning' && note.includes('kubectl delete'),
      ),
    )
    expect((await stage.get('owes-nothing')).metadata.finalizers).toContain(runFinalizer)
    await stage.letGo(object)
  })
})
