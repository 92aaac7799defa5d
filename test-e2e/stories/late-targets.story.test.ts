import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import type { Json } from '../watchers/api.ts'
import { CpuWatch, stressorsOn } from '../watchers/cgroups.ts'
import { cpuHog, experiment } from './documents.ts'
import { type Story, World } from './world.ts'

/** A runner that is killed while pods come to a fault that is held: each is hit once, and on record once. */
const seconds = 20
const replicas = 4
/** What a node's own deadline may be late by on a busy machine, milliseconds. */
const punctual = 1500
let world: World

beforeAll(async () => {
  world = await World.begin()
})
afterAll(async () => {
  try {
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

/** The CPU of every pod of `app`, from the moment at which it has a cgroup. */
class Crowd {
  readonly #watches = new Map<string, CpuWatch>()
  readonly #timer: NodeJS.Timeout

  constructor(app: string) {
    const look = () => {
      for (const { metadata } of world.podsOf(app)) {
        if (this.#watches.has(metadata.name)) continue
        try {
          this.#watches.set(metadata.name, new CpuWatch(world.installed.nodes, metadata.uid))
        } catch {
          // it has none yet
        }
      }
    }
    look()
    this.#timer = setInterval(look, 20)
  }

  /** How long each pod was hit, once for every time. */
  holds(): Record<string, number[]> {
    return Object.fromEntries(
      [...this.#watches].map(([name, watch]) => [
        name,
        watch.holds().map(({ from, to }) => (to ?? Date.now()) - from),
      ]),
    )
  }

  close(): void {
    clearInterval(this.#timer)
    for (const watch of this.#watches.values()) watch.close()
  }
}

const runs = ({ status }: Json): boolean =>
  status.containerStatuses?.some((one: Json) => one.state.running) === true

const moments: [string, string, (story: Story, app: string) => Promise<unknown>][] = [
  [
    'right when new pods run',
    'killed-at-pods',
    (_, app) =>
      world.pods.until('a new pod runs', 60_000, () => world.podsOf(app).filter(runs).length > 1),
  ],
  [
    'as soon as a late target is on record',
    'killed-at-record',
    (story) =>
      story.until('a late record', 60_000, ({ targets }) =>
        targets.some(({ holdMs }) => holdMs !== undefined),
      ),
  ],
  [
    'as soon as a late target is on record as hit, while others come',
    'killed-at-hit',
    (story) =>
      story.until('a late hit', 60_000, ({ targets }) =>
        targets.some(({ holdMs, state }) => holdMs !== undefined && state === 'injected'),
      ),
  ],
]

let crowd: Crowd | undefined
beforeEach(() => world.freshRunner())
afterEach(() => crowd?.close())

it.each(moments)('%s: each pod is hit once, and its record is exact', async (_, app, moment) => {
  await world.target(app)
  crowd = new Crowd(app)
  const env = { POD_AFFECTED_PERCENTAGE: 100, CPU_LOAD: 15, TARGETS_MODE: 'dynamic' }
  const story = await world.run(experiment(app, [cpuHog(app, seconds, { env })]))
  await story.injected()
  const [first] = story.targets
  const [runner] = world.program('runner')
  await world.api.patch(`/apis/apps/v1/namespaces/demo/deployments/${app}`, {
    spec: { replicas },
  })
  await moment(story, app)
  world.kill(runner, 'runner.cjs')
  console.log(`${app}: killed with ${JSON.stringify(story.targets.map((t) => t.state))}`)
  const status = await story.finished(120_000)
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed', run: { adoptions: 1 } })
  const names = world.podsOf(app).map(({ metadata }) => metadata.name)
  expect(names).toHaveLength(replicas)
  expect(story.targets.map(({ name }) => name).sort()).toEqual(names.sort())
  const holds = crowd.holds()
  console.log(`${app}: held ${JSON.stringify(holds)}`)
  for (const target of story.targets) {
    expect(target).toMatchObject({ state: 'reverted', injectedAt: expect.any(Number) })
    expect(target).not.toHaveProperty('cut')
    expect(target).not.toHaveProperty('round')
    expect(Math.abs(target.revertedAt - first.endsAt)).toBeLessThan(punctual)
    const [seen = 0, ...more] = holds[target.name] ?? []
    expect(more, target.name).toEqual([])
    expect(Math.abs(seen - target.heldMs), target.name).toBeLessThan(punctual)
  }
  expect(status.run.tasks[0].injections).toBe(replicas)
  expect(await story.residue()).toEqual([])
})
