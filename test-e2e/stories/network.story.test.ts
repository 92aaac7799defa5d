import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, type ExpectStatic, it } from 'vitest'
import type { Json } from '../watchers/api.ts'
import { podGroup, processesIn } from '../watchers/cgroups.ts'
import { datagrams, type Place } from '../watchers/datagrams.ts'
import { experiment, networkLoss } from './documents.ts'
import { type Story, World } from './world.ts'

let world: World
let hearer: Place
const apps = ['hearer', 'whole', 'half', 'aimed', 'orphan', 'quit']

const placeOf = (app: string): Place => {
  const [pod] = world.podsOf(app) as [Json]
  const group = podGroup(world.installed.nodes, pod.metadata.uid)
  const [process] = group ? processesIn(group) : []
  if (!process) throw new Error(`no process of ${app}`)
  return { pid: process.pid, address: pod.status.podIP }
}

/** Everything that could lose a packet in a pod's network, as its own tools tell it. */
const network = ({ pid }: Place): string =>
  ['nft list ruleset', 'tc qdisc show', 'iptables-save']
    .map((command) => {
      const enter = [`--net=/proc/${pid}/ns/net`, '--', ...command.split(' ')]
      return `# ${command}\n${execFileSync('nsenter', enter, { encoding: 'utf8' })}`
    })
    .join('')

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
  expect(network(place)).toBe(before)
  expect(await story.residue()).toEqual([])
}

describe.concurrent('packets', () => {
  it('are all lost, for as long as was asked, and the sender hears nothing of it', async ({
    expect,
  }) => {
    const place = placeOf('whole')
    const before = network(place)
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
    const before = network(place)
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
    const before = network(place)
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

  it('come through again as soon as the fault program is killed', async ({ expect }) => {
    const place = placeOf('orphan')
    const before = network(place)
    const story = await world.run(experiment('lose-orphan', [networkLoss('orphan', 40)]))
    await story.injected()
    expect((await heard(place)).received).toBe(0)
    const [pod] = world.faultPods(story.run.runId)
    world.kill(pod, 'fault-pod.cjs')
    await expect.poll(() => network(place), { timeout: 5000, interval: 50 }).toBe(before)
    const status = await story.finished()
    expect(status.verdict).toBe('Error')
    expect(status.tasks[0].failStep).toContain('cut short')
    await clean({ story, place, before }, expect)
  })

  it('come through again at once after an abort', async ({ expect }) => {
    const place = placeOf('quit')
    const before = network(place)
    const story = await world.run(experiment('lose-quit', [networkLoss('quit', 60)]))
    await story.injected()
    expect(network(place)).not.toBe(before)
    await story.abort()
    await expect.poll(() => network(place), { timeout: 2000, interval: 20 }).toBe(before)
    expect(await story.finished()).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
    await clean({ story, place, before }, expect)
  })
})
