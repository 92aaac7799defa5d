import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../watchers/api.ts'
import { stressorsOn } from '../watchers/cgroups.ts'
import { datagrams, type Place } from '../watchers/datagrams.ts'
import { arm, type Burnt, crash, hold, lastEnd } from './burnt.ts'
import { cpuHog, experiment, networkLoss } from './documents.ts'
import { networkImage, placeOf } from './pod-network.ts'
import { World } from './world.ts'

/** A target whose container waits in kubelet's back-off: when it is chosen, and from mid-hold on. */
let world: World
const apps = ['waits', 'falls', 'falls-armed', 'mute', 'mutes', 'hearer']

beforeAll(async () => {
  world = await World.begin()
  await Promise.all(apps.map((app) => world.target(app)))
})
afterAll(async () => {
  try {
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

const containerOf = (app: string): Json => world.podsOf(app)[0]?.status.containerStatuses?.[0]
const waits = (app: string): boolean =>
  containerOf(app)?.state.waiting?.reason === 'CrashLoopBackOff'

/** Its container ends so often; after the second time kubelet waits for 10 s, after the third for 20 s. */
async function die(app: string, times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    const { restartCount } = await world.pods.until(`${app} runs`, 60_000, () => {
      const container = containerOf(app)
      return container?.state.running && container
    })
    const dead = () =>
      waits(app) ||
      containerOf(app).restartCount > restartCount ||
      containerOf(app).state.terminated
    for (const end = Date.now() + 30_000; !dead() && Date.now() < end; ) {
      crash(world, app)
      await delay(100)
    }
    expect(dead(), `${app} died`).toBeTruthy()
  }
}
const untilBackOff = (app: string) =>
  world.pods.until(`${app} waits in back-off`, 30_000, () => waits(app))
/** It has been restarted once, and runs: at its next end kubelet waits. */
async function weaken(app: string): Promise<void> {
  await die(app, 1)
  await world.pods.until(`${app} runs again`, 60_000, () => {
    const container = containerOf(app)
    return container?.state.running && container.restartCount > 0
  })
  await world.ready(app, 1)
}

describe('a CPU hog', () => {
  it('of a container that waits is refused at once, with the reason', async () => {
    await die('waits', 3)
    await untilBackOff('waits')
    const cpu = world.watchCpu('waits')
    const story = await world.run(experiment('hog-waits', [cpuHog('waits', 20)]))
    const status = await story.finished(15_000)
    expect(waits('waits')).toBe(true)
    expect(status.tasks[0]).toMatchObject({ verdict: 'Error', errorCode: 'TARGET_SELECTION_ERROR' })
    expect(JSON.stringify(status.run)).toMatch(
      /container \S+ of pod demo\/waits-\S+ is not running; wait until it is/,
    )
    expect(world.faultPods(story.run.runId)).toEqual([])
    expect(lastEnd(cpu)).toBe(0)
    expect(await story.residue()).toEqual([])
  })

  /** The run is over while the container still waits: nobody waits for it. */
  async function overInBackOff({ story }: Burnt, app: string): Promise<Json> {
    crash(world, app)
    await untilBackOff(app)
    const status = await story.finished(9000)
    expect(waits(app)).toBe(true)
    expect(await story.residue()).toEqual([])
    return status
  }

  it('whose target falls into back-off in mid-hold says that it no longer exists', async () => {
    await weaken('falls')
    const held = await hold(world, experiment('hog-falls', [cpuHog('falls', 60)]), 'falls')
    const status = await overInBackOff(held, 'falls')
    expect(status.tasks[0]).toMatchObject({ verdict: 'Error', errorCode: 'CUT_SHORT' })
    expect(held.story.targets).toMatchObject([{ state: 'reverted', outcome: 'noLongerExists' }])
  })

  it('whose target falls into back-off before its turn was never there', async () => {
    const app = 'falls-armed'
    await weaken(app)
    const task = cpuHog(app, 20, { env: { RAMP_TIME: 4 } })
    const armed = await arm(world, experiment('hog-falls-armed', [task]), app)
    const status = await overInBackOff(armed, app)
    expect(status.tasks[0]).toMatchObject({ verdict: 'Error', errorCode: 'TARGET_SELECTION_ERROR' })
    expect(armed.story.targets).toMatchObject([{ state: 'failed', outcome: 'noLongerExists' }])
    expect(lastEnd(armed.cpu)).toBe(0)
  })
})

describe('a loss of packets', () => {
  let port = 21_000
  const heard = (from: Place, count = 100) =>
    datagrams(from, placeOf(world, 'hearer'), { count, port: port++ })

  it.each([
    ['of a pod whose container waits', 'mute', 3],
    ['of a pod whose container falls into back-off in mid-hold', 'mutes', 1],
  ] as const)('%s holds as long as was asked', async (_, app, times) => {
    const place = placeOf(world, app)
    const before = networkImage(place)
    if (times === 1) await weaken(app)
    else await die(app, times).then(() => untilBackOff(app))
    const story = await world.run(experiment(`lose-${app}`, [networkLoss(app, 10)]))
    await story.injected()
    if (times === 1) {
      crash(world, app)
      await untilBackOff(app)
    }
    expect(waits(app)).toBe(true)
    expect(await heard(place)).toEqual({ sent: 100, received: 0 })
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    expect(story.targets[0].heldMs).toBeGreaterThan(9800)
    expect(story.targets[0].heldMs).toBeLessThan(11_500)
    expect(await heard(place)).toEqual({ sent: 100, received: 100 })
    expect(networkImage(place)).toBe(before)
    expect(await story.residue()).toEqual([])
  })
})
