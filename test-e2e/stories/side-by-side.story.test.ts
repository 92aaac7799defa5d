import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, type ExpectStatic, it } from 'vitest'
import type { Json } from '../watchers/api.ts'
import type { CpuWatch } from '../watchers/cgroups.ts'
import { logOf, reportsOf } from '../watchers/peers.ts'
import { chaosExperiment, cpuHog, experiment, httpProbe, podDelete } from './documents.ts'
import { type Story, World } from './world.ts'

let world: World
const apps = [
  'out',
  'kill',
  'stress',
  'armed',
  'inject',
  'held',
  'dropped',
  'sot-stop',
  'sot-on',
  'norights',
  'named',
]

beforeAll(async () => {
  world = await World.begin()
  await Promise.all(apps.map((app) => world.target(app, ['kill', 'named'].includes(app) ? 2 : 1)))
})
afterAll(() => world?.end())

function cpuOf(app: string): CpuWatch {
  const [watch] = world.watchCpu(app).values()
  if (!watch) throw new Error(`no pod of ${app}`)
  return watch
}
/** Many burn at the same time: each leaves the others enough of the machine. */
const gentle = (app: string, seconds: number) => cpuHog(app, seconds, { env: { CPU_LOAD: 40 } })
const struck = (app: string): string[] =>
  world.pods.history
    .filter(
      ({ object, type }) =>
        object.metadata.labels?.app === app &&
        (type === 'DELETED' || object.metadata.deletionTimestamp),
    )
    .map(({ object }) => object.metadata.name)

async function stoppedCleanly(story: Story, expect: ExpectStatic): Promise<Json> {
  const status = await story.finished()
  expect(status).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
  expect(status.tasks[0].errorCode).toBe('EXPERIMENT_ABORTED')
  expect(await story.residue()).toEqual([])
  return status
}

/** Independent experiments at the same time, while kserver and the log-service are away for a minute. */
describe.concurrent('side by side', () => {
  it('peers that are away for 60 s cost nothing but lateness', async ({ expect }) => {
    const cpu = cpuOf('out')
    const story = await world.run(
      experiment('peers-away', [podDelete('kill', 3), gentle('out', 4)]),
    )
    const { runId } = await story.until('a run', 10_000, ({ run }) => run)
    await expect
      .poll(() => reportsOf(world.recorder, runId).length, { timeout: 5000 })
      .toBeGreaterThan(0)
    world.recorder.control({ mode: 'closed', forMs: 60_000 })
    const closed = Date.now()
    const status = await story.finished()
    expect(status).toMatchObject({ verdict: 'Pass', resiliencyScore: 100 })
    expect(Date.now() - closed).toBeLessThan(40_000)
    expect(cpu.holds().length).toBe(1)
    expect(await story.residue()).toEqual([])
    const reports = () => reportsOf(world.recorder, runId)
    expect(reports().every(({ args }) => args.completed === 'false')).toBe(true)
    await expect
      .poll(() => reports().at(-1)?.args.completed, { timeout: 90_000, interval: 500 })
      .toBe('true')
    expect(Date.now() - closed).toBeGreaterThan(60_000)
    expect(reports().map(({ data }) => data.eventType)).toEqual([
      'CREATE',
      ...reports()
        .slice(1)
        .map(() => 'UPDATE'),
    ])
    for (const task of ['delete-kill', 'hog-out']) {
      const log = () => logOf(world.recorder, `${runId}-${task}`)
      await expect
        .poll(() => log().calls.at(-1), { timeout: 30_000, interval: 500 })
        .toBe('DELETE /log-service')
      const { lines } = log()
      const positions = [...new Set(lines.map(({ pos }) => pos))]
      expect(positions).toEqual(positions.map((_, i) => i + 1))
      expect(lines.some(({ out }) => out.startsWith('[End]'))).toBe(true)
    }
  })

  it('pod-kill with steady states: every pod that matches, once', async ({ expect }) => {
    await delay(8000)
    const before = (await world.ready('kill', 2)).map(({ metadata }) => metadata.uid)
    const http = { url: 'http://kill.demo.svc.cluster.local/healthz' }
    const k8s = { resource: 'pods', labelSelector: 'app=kill', condition: { minReady: 2 } }
    const story = await world.run(
      chaosExperiment('pod-kill', 'kill', {
        action: { type: 'pod-kill', parameters: { gracePeriodSeconds: '0' } },
        duration: '5s',
        steadyState: {
          before: [{ name: 'web', type: 'http', http }],
          after: [{ name: 'two', type: 'k8s', k8s }],
          recoveryTimeout: '60s',
        },
      }),
    )
    const status = await story.finished(90_000)
    expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    expect(story.targets.map((t) => t.uid).sort()).toEqual(before.sort())
    const left = world.podsOf('kill').map(({ metadata }) => metadata.uid)
    expect(before.filter((uid) => left.includes(uid))).toEqual([])
    expect(status.run.tasks[0].probes.map((p: Json) => p.verdict)).toEqual(['Passed', 'Passed'])
    expect(await story.residue()).toEqual([])
  })

  it('pod-cpu-stress: the load is in the target, for as long as was asked', async ({ expect }) => {
    const cpu = cpuOf('stress')
    const k8s = { resource: 'pods', labelSelector: 'app=stress', condition: { minReady: 1 } }
    const story = await world.run(
      chaosExperiment('pod-cpu-stress', 'stress', {
        action: { type: 'pod-cpu-stress', parameters: { workers: '1', load: '50' } },
        duration: '5s',
        steadyState: { before: [{ name: 'one', type: 'k8s', k8s }] },
      }),
    )
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    const [hold, ...more] = cpu.holds()
    expect(more).toEqual([])
    expect((hold?.to ?? 0) - (hold?.from ?? 0)).toBeGreaterThan(4800)
    expect((hold?.to ?? 0) - (hold?.from ?? 0)).toBeLessThan(6500)
    expect(await story.residue()).toEqual([])
  })

  it('aborted while armed: nothing is injected', async ({ expect }) => {
    const cpu = cpuOf('armed')
    const story = await world.run(
      experiment('abort-armed', [cpuHog('armed', 10, { env: { RAMP_TIME: 30 } })]),
    )
    await story.until('a running fault pod', 30_000, ({ run }) =>
      world.faultPods(run?.runId).some(({ status }) => status.phase === 'Running'),
    )
    await story.abort()
    await stoppedCleanly(story, expect)
    expect(cpu.holds()).toEqual([])
    expect(story.object.metadata.annotations?.['chaos.chaosplane.io/abort']).toBe(undefined)
  })

  it('aborted while injecting: whatever came of it is put back', async ({ expect }) => {
    const cpu = cpuOf('inject')
    const story = await world.run(experiment('abort-inject', [gentle('inject', 30)]))
    await story.until(
      'a fault pod',
      30_000,
      ({ run }) => run && world.faultPods(run.runId).length > 0,
    )
    await story.abort()
    await stoppedCleanly(story, expect)
    for (const { from, to } of cpu.holds()) expect((to ?? Infinity) - from).toBeLessThan(5000)
  })

  it('aborted while holding: the CPU comes back at once', async ({ expect }) => {
    const cpu = cpuOf('held')
    const story = await world.run(experiment('abort-held', [gentle('held', 60)]))
    await story.injected()
    const asked = Date.now()
    await story.abort()
    await stoppedCleanly(story, expect)
    const [hold, ...more] = cpu.holds()
    expect(more).toEqual([])
    expect((hold?.to ?? Infinity) - asked).toBeLessThan(2000)
  })

  it('deleted while holding: the resource stays until everything is put back', async ({
    expect,
  }) => {
    const cpu = cpuOf('dropped')
    const story = await world.run(experiment('delete-held', [gentle('dropped', 60)]))
    await story.injected()
    const { runId } = story.run
    const { targets } = story
    const asked = Date.now()
    await world.api.remove(story.path)
    await story.until('gone', 30_000, ({ object }) => object === undefined)
    const gone = story.history.find(({ type }) => type === 'DELETED')?.at ?? 0
    const to = cpu.holds()[0]?.to ?? Infinity
    expect(to - asked).toBeLessThan(2000)
    expect(to).toBeLessThan(gone + 30)
    expect(await world.residueOf(runId, targets)).toEqual([])
  })

  it('a failed SOT probe with stopOnFailure: nothing is injected', async ({ expect }) => {
    const probes = [httpProbe('sot-stop', 404, { stopOnFailure: true })]
    const story = await world.run(
      experiment('sot-stops', [podDelete('sot-stop', 4, { probes }), cpuHog('sot-stop', 4)]),
    )
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
    expect(status.tasks.map((t: Json) => t.verdict)).toEqual(['Stopped', 'N/A'])
    expect(struck('sot-stop')).toEqual([])
    expect(await story.residue()).toEqual([])
  })

  it('a failed SOT probe without it: the run goes on and fails', async ({ expect }) => {
    const probes = [httpProbe('sot-on', 404)]
    const story = await world.run(experiment('sot-goes-on', [podDelete('sot-on', 2, { probes })]))
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Completed_With_Probe_Failure', verdict: 'Fail' })
    expect(new Set(struck('sot-on')).size).toBe(1)
    expect(await story.residue()).toEqual([])
  })

  it('TARGET_PODS: the named pod and no other; when it is gone there is nobody left to strike', async ({
    expect,
  }) => {
    const [named, other] = world.podsOf('named').map(({ metadata }) => metadata.name)
    const env = { TARGET_PODS: named, CHAOS_INTERVAL: 2 }
    const story = await world.run(experiment('named-pod', [podDelete('named', 5, { env })]))
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    expect([...new Set(struck('named'))]).toEqual([named])
    expect(world.podsOf('named').map(({ metadata }) => metadata.name)).toContain(other)
    expect(await story.residue()).toEqual([])
  })

  it('a missing account is named', async ({ expect }) => {
    const story = await world.run(
      experiment('no-account', [podDelete('norights', 2)], { serviceAccountName: 'nobody' }),
    )
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Error', verdict: 'Error' })
    expect(status.tasks[0].errorCode).toBe('MISSING_ACCOUNT')
    expect(status.message).toMatch(/nobody does not exist in namespace v2/)
    expect(struck('norights')).toEqual([])
    expect(await story.residue()).toEqual([])
  })

  it.for([
    ['pod-delete', podDelete, 'list|get|delete'],
    ['pod-cpu-hog', cpuHog, 'list|get|create'],
  ] as const)(
    'an account without rights: %s says verb, resource and namespace',
    async ([fault, task, verbs], { expect }) => {
      const account = {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'powerless', namespace: 'v2' },
      }
      await world.api.apply('/api/v1/namespaces/v2/serviceaccounts/powerless', account)
      const story = await world.run(
        experiment(`no-rights-${fault}`, [task('norights', 2)], {
          serviceAccountName: 'powerless',
        }),
      )
      const status = await story.finished()
      expect(status).toMatchObject({ phase: 'Error', verdict: 'Error' })
      const right = `may not (${verbs}) (deployments|pods)(/exec)? in namespace demo`
      expect(status.message).toMatch(new RegExp(`service account v2/powerless ${right}`))
      expect(struck('norights')).toEqual([])
      expect(await story.residue()).toEqual([])
    },
  )

  it('a target that does not exist', async ({ expect }) => {
    const story = await world.run(experiment('no-target', [podDelete('nowhere', 2)]))
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Error', verdict: 'Error' })
    expect(status.tasks[0].errorCode).toBe('TARGET_SELECTION_ERROR')
    expect(status.message).toContain('nowhere')
    expect(await story.residue()).toEqual([])
  })

  it('an unknown probe reference: nothing is injected anywhere', async ({ expect }) => {
    const unknown = [{ probeID: 'gogle-ping', mode: 'SOT' }]
    const story = await world.run(
      experiment('no-probe', [
        podDelete('norights', 2),
        cpuHog('norights', 2, { probeRef: unknown }),
      ]),
    )
    const status = await story.finished()
    expect(status.verdict).toBe('Error')
    expect(status.message).toContain('gogle-ping')
    expect(struck('norights')).toEqual([])
    expect(await story.residue()).toEqual([])
  })

  it('an unknown fault is refused with path and suggestion', async ({ expect }) => {
    const [task] = [podDelete('norights', 2)]
    const story = await world.run(experiment('no-fault', [{ ...task, fault: 'pod-delte' }]))
    const status = await story.finished()
    expect(status.phase).toBe('Failed')
    expect(status.message).toContain('spec.tasks[0].definition.chaos.experiment')
    expect(status.message).toContain('did you mean pod-delete?')
    expect(struck('norights')).toEqual([])
  })
})
