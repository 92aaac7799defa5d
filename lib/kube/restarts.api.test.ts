import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, it } from 'vitest'
import { startControlPlane } from '../../test-e2e/cluster/control-plane.ts'
import { createKubeClient } from './client.ts'
import { loadKubeConfig } from './config.ts'
import { type Model, ModelWorld, type Surroundings } from './testing/model-world.ts'
import { startUnrulyProxy } from './testing/unruly-proxy.ts'

/** Others each time. More for a night: `CHAOSPLANE_PROPERTY_RUNS=500 vitest run --project integration restarts`. */
const numRuns = Number(process.env['CHAOSPLANE_PROPERTY_RUNS'] ?? 5)
/** One start of the API server after the other takes its time. */
const mostMsPerRun = 24_000
let around: Surroundings

beforeAll(async () => {
  const plane = await startControlPlane()
  const config = loadKubeConfig({ file: plane.kubeconfig, env: {} })
  const direct = createKubeClient({ config, userAgent: 'tests/1' })
  const proxy = await startUnrulyProxy(plane.kubeconfig)
  const client = createKubeClient({ config: proxy.config, userAgent: 'model/1' })
  around = { plane, proxy, direct, client }
})
afterAll(async () => {
  await Promise.all([around?.direct.close(), around?.client.close()])
  await around?.proxy.close()
  await around?.plane.down()
})

type Step = fc.AsyncCommand<Model, ModelWorld>

const step = (text: string, may: (m: Model) => boolean, run: Step['run']): Step => ({
  check: may,
  run,
  toString: () => text,
})

/** Each start of an API server takes a second or two. */
const killsPerRun = 2
const has = (name: string) => (m: Model) => m.up && m.things.has(name)

const create = (name: string): Step =>
  step(
    `create ${name}`,
    (m) => m.up && !m.things.has(name),
    async (m, world) => {
      await world.create(name)
      m.things.set(name, { n: 1, generation: 1 })
    },
  )

const update = (name: string, times: number): Step =>
  step(`update ${name} ${times} times`, has(name), async (m, world) => {
    for (let i = 0; i < times; i++) {
      const { n, generation } = m.things.get(name) ?? { n: 0, generation: 0 }
      await world.update(name, n + 1)
      m.things.set(name, { n: n + 1, generation: generation + 1 })
    }
  })

const remove = (name: string): Step =>
  step(`delete ${name}`, has(name), async (m, world) => {
    await world.remove(name)
    m.things.delete(name)
  })

/** A namesake at once: neither the store nor a writer may take it for the first one. */
const replace = (name: string): Step =>
  step(`delete ${name} and create it again`, has(name), async (m, world) => {
    await world.remove(name)
    await world.create(name)
    m.things.set(name, { n: 1, generation: 1 })
  })

const always = () => true
const cut = (how: 'clean' | 'reset'): Step =>
  step(`cut watches (${how})`, always, async (_, world) => world.cutWatches(how))
const lose = (times: number): Step =>
  step(`lose ${times} answers`, always, async (_, world) => world.loseAnswers(times))
/** Time for those who follow to be anywhere on their way. */
const rest = (ms: number): Step => step(`rest ${ms} ms`, always, () => delay(ms))
const hold = step('serve no watches', always, async (_, world) => world.holdWatches())
const obey = step('obey', always, async (_, world) => world.obey())
const compact = step('compact', always, async (_, world) => world.compact())

const kill = step(
  'kill the API server',
  (m) => m.up && m.kills < killsPerRun,
  async (m, world) => {
    await world.kill()
    m.up = false
    m.kills++
  },
)
const start = step(
  'start the API server',
  (m) => !m.up,
  async (m, world) => {
    await world.start()
    m.up = true
  },
)
const quiesce = step(
  'quiesce',
  (m) => m.up,
  async (m, world) => {
    world.obey()
    await world.quiesce(m)
  },
)

/**
 * What happened while nobody watched is compacted away, and the API server has no copy of it. Without the new list after
 * a 410 this passes too, so it does not stand for that: reflector.api.test.ts does.
 */
const expire = step(
  'expire',
  (m) => has('a')(m) && m.kills < killsPerRun,
  async (m, world) => {
    world.holdWatches()
    await remove('a').run(m, world)
    await compact.run(m, world)
    await kill.run(m, world)
    await start.run(m, world)
    world.obey()
  },
)

const name = fc.constantFrom('a', 'b', 'c')
const times = fc.integer({ min: 1, max: 4 })
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: name.map(create) },
    { weight: 8, arbitrary: fc.tuple(name, times).map(([of, n]) => update(of, n)) },
    { weight: 2, arbitrary: name.map(remove) },
    { weight: 2, arbitrary: name.map(replace) },
    { weight: 2, arbitrary: fc.constantFrom<'clean' | 'reset'>('clean', 'reset').map(cut) },
    { weight: 2, arbitrary: times.map(lose) },
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 60 }).map(rest) },
    { weight: 4, arbitrary: fc.constantFrom(hold, obey, compact, quiesce) },
    { weight: 2, arbitrary: fc.constantFrom(kill, expire) },
    { weight: 3, arbitrary: fc.constant(start) },
  ),
  { minLength: 30, maxLength: 50 },
)

it(
  'reflector, queue and status writer end where the API does, whatever becomes of the API server',
  async () => {
    let runs = 0
    await fc.assert(
      fc.asyncProperty(steps, async (commands) => {
        const world = await ModelWorld.make(around, `model-${runs++}`)
        const model: Model = { up: true, kills: 0, things: new Map() }
        try {
          await fc.asyncModelRun(() => ({ model, real: world }), commands)
          if (!model.up) await start.run(model, world)
          await quiesce.run(model, world)
        } finally {
          around.proxy.obey()
          if (!model.up) await world.start()
          await world.end()
        }
      }),
      // a smaller example would cost minutes; the seed and the steps are told
      { numRuns, endOnFailure: true },
    )
  },
  numRuns * mostMsPerRun,
)
