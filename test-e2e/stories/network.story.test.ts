import { afterAll, beforeAll, describe, type ExpectStatic, it } from 'vitest'
import type { Json } from '../watchers/api.ts'
import { Caller } from '../watchers/caller.ts'
import { datagrams, type Place } from '../watchers/datagrams.ts'
import { experiment, networkLatency, networkLoss } from './documents.ts'
import { hasNetem, networkImage, placeOf as placeIn } from './pod-network.ts'
import { type Story, World } from './world.ts'

let world: World
let hearer: Place
const apps = [
  'hearer',
  'whole',
  'half',
  'aimed',
  'by-name',
  'loop',
  'orphan',
  'quit',
  'prompt',
  'rested',
]

const placeOf = (app: string): Place => placeIn(world, app)

beforeAll(async () => {
  world = await World.begin()
  await Promise.all(apps.map((app) => world.target(app)))
  hearer = placeOf('hearer')
})
afterAll(() => world?.end())

let port = 20_000
const heard = (from: Place, to = hearer, count = 400, at = port++) =>
  datagrams(from, to, { count, port: at })

async function clean(
  { story, place, before }: { story: Story; place: Place; before: string },
  expect: ExpectStatic,
): Promise<void> {
  expect(await heard(place)).toEqual({ sent: 400, received: 400 })
  expect(networkImage(place)).toBe(before)
  expect(await story.residue()).toEqual([])
}

const attempt = (work: () => unknown): unknown => {
  try {
    return work()
  } catch {
    return 'failed'
  }
}

describe.concurrent('packets', () => {
  it('are all lost, for as long as was asked, and the sender hears nothing of it', async ({
    expect,
  }) => {
    const place = placeOf('whole')
    const before = networkImage(place)
    expect(await heard(place)).toEqual({ sent: 400, received: 400 })
    const story = await world.run(experiment('lose-all', [networkLoss('whole', 6)]))
    await story.injected()
    expect(await heard(place)).toEqual({ sent: 400, received: 0 })
    // the other way they still go
    expect(await heard(hearer, place)).toEqual({ sent: 400, received: 400 })
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    expect(story.targets[0].heldMs).toBeGreaterThan(5800)
    expect(story.targets[0].heldMs).toBeLessThan(7000)
    await clean({ story, place, before }, expect)
  })

  it('are lost by half', async ({ expect }) => {
    const place = placeOf('half')
    const before = networkImage(place)
    const env = { NETWORK_PACKET_LOSS_PERCENTAGE: 50 }
    const story = await world.run(experiment('lose-half', [networkLoss('half', 6, { env })]))
    await story.injected()
    const { sent, received } = await heard(place, hearer, 1000)
    expect(sent).toBe(1000)
    // 1000 fair coins fall outside of this once in ten thousand years of tests
    expect(received).toBeGreaterThan(350)
    expect(received).toBeLessThan(650)
    await story.finished()
    await clean({ story, place, before }, expect)
  })

  it('are lost where the filter aims, and nowhere else', async ({ expect }) => {
    const place = placeOf('aimed')
    const before = networkImage(place)
    const env = { DESTINATION_IPS: `${hearer.address}|7001|7100-7200` }
    const story = await world.run(experiment('lose-aimed', [networkLoss('aimed', 8, { env })]))
    await story.injected()
    expect(await heard(place, hearer, 100, 7001)).toEqual({ sent: 100, received: 0 })
    expect(await heard(place, hearer, 100, 7150)).toEqual({ sent: 100, received: 0 })
    expect(await heard(place, hearer, 100, 7002)).toEqual({ sent: 100, received: 100 })
    expect(await heard(place, placeOf('quit'), 100, 7001)).toEqual({ sent: 100, received: 100 })
    await story.finished()
    await clean({ story, place, before }, expect)
  })

  it('are lost on their way to a Service by its name, with a cluster address or without', async ({
    expect,
  }) => {
    const place = placeOf('by-name')
    const before = networkImage(place)
    const headless = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'headless', namespace: 'demo' },
      spec: { clusterIP: 'None', selector: { app: 'hearer' }, ports: [{ port: 8080 }] },
    }
    await world.apply(headless)
    const { spec } = await world.api.get('/api/v1/namespaces/demo/services/hearer')
    const own = new Caller(place.pid)
    const byService = () => own.open(spec.clusterIP, 80)
    const byPod = () => own.open(hearer.address, 8080)
    try {
      expect([await byService(), await byPod()]).toEqual(['connected', 'connected'])
      const cases = { hearer: ['silent', 'connected'], 'headless.demo': ['connected', 'silent'] }
      for (const [name, reached] of Object.entries(cases)) {
        const env = { DESTINATION_HOSTS: name }
        const story = await world.run(
          experiment(`lose-${name.split('.')[0]}`, [networkLoss('by-name', 5, { env })]),
        )
        await story.injected()
        expect([await byService(), await byPod()], name).toEqual(reached)
        await story.finished()
        await clean({ story, place, before }, expect)
      }
    } finally {
      own.end()
    }
  })

  it('stay lost while the container restarts, and come through at the end', async ({ expect }) => {
    const [pod] = world.podsOf('loop') as [Json]
    const place = placeOf('loop')
    const before = networkImage(place)
    const story = await world.run(experiment('lose-loop', [networkLoss('loop', 12)]))
    await story.injected()
    const restarts = () => world.podsOf('loop')[0]?.status.containerStatuses[0].restartCount
    for (const count of [1, 2]) {
      await expect
        .poll(() => attempt(() => world.kill(pod, 'demo.cjs')), { timeout: 8000 })
        .not.toBe('failed')
      if (count === 1) await expect.poll(restarts, { timeout: 8000 }).toBe(count)
      expect((await heard(place, hearer, 100)).received).toBe(0)
    }
    expect(await story.finished()).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    expect(story.targets[0].heldMs).toBeGreaterThan(11_800)
    await clean({ story, place, before }, expect)
  })

  it('are lost again after a pause in which the container was started anew', async ({ expect }) => {
    const place = placeOf('rested')
    const before = networkImage(place)
    const story = await world.run(experiment('lose-rested', [networkLoss('rested', 8)]))
    await story.injected()
    const pause = (value: string) =>
      world.api.patch(story.path, {
        metadata: { annotations: { 'chaos.chaosplane.io/pause': value } },
      })
    await pause('true')
    await story.until('a paused run, clean', 10_000, ({ run, targets }) =>
      Boolean(run.paused && targets.every((t) => t.state === 'reverted')),
    )
    expect((await heard(place, hearer, 100)).received).toBe(100)
    const [pod] = world.podsOf('rested') as [Json]
    world.kill(pod, 'demo.cjs')
    const restarts = () => world.podsOf('rested')[0]?.status.containerStatuses[0].restartCount
    await expect.poll(restarts, { timeout: 10_000 }).toBe(1)
    await pause('false')
    await expect
      .poll(async () => (await heard(place, hearer, 100)).received, { timeout: 10_000 })
      .toBe(0)
    expect(await story.finished()).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    expect(story.run.tasks[0]).toMatchObject({ injections: 2 })
    await clean({ story, place, before }, expect)
  })

  it('of a pod that uses the network of its node are not touched', async ({ expect }) => {
    await world.target('on-node', 1, { hostNetwork: true })
    const story = await world.run(experiment('lose-node', [networkLoss('on-node', 5)]))
    const status = await story.finished()
    expect(status.verdict).toBe('Error')
    expect(JSON.stringify(status.run)).toContain('hostNetwork')
    expect(story.targets[0].heldMs ?? 0).toBe(0)
    expect(await story.residue()).toEqual([])
  })

  it.skipIf(hasNetem())(
    'are not delayed by a kernel that cannot: it says which module is missing',
    async ({ expect }) => {
      const place = placeOf('prompt')
      const before = networkImage(place)
      const story = await world.run(experiment('delay', [networkLatency('prompt', 5)]))
      const status = await story.finished()
      expect(status.verdict).toBe('Error')
      expect(JSON.stringify(status.run)).toContain('sch_netem')
      await clean({ story, place, before }, expect)
    },
  )

  it('come through again as soon as the fault program is killed', async ({ expect }) => {
    const place = placeOf('orphan')
    const before = networkImage(place)
    const story = await world.run(experiment('lose-orphan', [networkLoss('orphan', 40)]))
    await story.injected()
    expect((await heard(place)).received).toBe(0)
    const [pod] = world.faultPods(story.run.runId)
    world.kill(pod, 'fault-pod.cjs')
    await expect.poll(() => networkImage(place), { timeout: 5000, interval: 50 }).toBe(before)
    const status = await story.finished()
    expect(status.verdict).toBe('Error')
    expect(status.tasks[0].failStep).toContain('cut short')
    await clean({ story, place, before }, expect)
  })

  it('come through again at once after an abort', async ({ expect }) => {
    const place = placeOf('quit')
    const before = networkImage(place)
    const story = await world.run(experiment('lose-quit', [networkLoss('quit', 60)]))
    await story.injected()
    expect(networkImage(place)).not.toBe(before)
    await story.abort()
    await expect.poll(() => networkImage(place), { timeout: 2000, interval: 20 }).toBe(before)
    expect(await story.finished()).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
    await clean({ story, place, before }, expect)
  })
})
