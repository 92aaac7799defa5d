import type { ControlPlane } from '../../../test-e2e/cluster/control-plane.ts'
import { silentLog } from '../../log.ts'
import type { KubeClient } from '../client.ts'
import { type Controller, createController, trigger } from '../controller.ts'
import { createReflector, type Reflector } from '../reflector.ts'
import { createStatusWriter } from '../status.ts'
import { keyOf } from '../types.ts'
import { makeRoom, type Room, type Thing, thingType } from './things.ts'
import type { UnrulyProxy } from './unruly-proxy.ts'
import { until } from './until.ts'

/** Two writers of one status; each owns the field of its name. */
const writers = ['left', 'right'] as const
type Writer = (typeof writers)[number]
/** What a writer writes: the number that it followed last, and all that it ever wrote for this object. */
type Followed = { n: number; trail: number[] }

/** What the API has to hold in the end. */
export type Model = {
  up: boolean
  kills: number
  things: Map<string, { n: number; generation: number }>
}

/** What a test is made of and what lives longer than one run of it. */
export type Surroundings = {
  plane: ControlPlane
  proxy: UnrulyProxy
  /** past the proxy */
  direct: KubeClient
  client: KubeClient
}

/** Longer than the longest wait of what is followed here, on a machine that is busy. */
const convergesMs = 15_000

/** The real parts, driven by commands: one reflector, two controllers with a queue and a status writer each. */
export class ModelWorld {
  readonly #around: Surroundings
  readonly #room: Room
  readonly #reflector: Reflector<Thing>
  readonly #stop = new AbortController()
  readonly #running: Promise<unknown>[]
  readonly #controllers: Controller[]
  /** broken rules, in words */
  readonly #broken: string[] = []
  /** by writer and key: the version that the last pass saw; undefined: it saw none */
  readonly #passed = new Map<string, string | undefined>()
  readonly #busy = new Set<string>()

  private constructor(around: Surroundings, room: Room) {
    this.#around = around
    this.#room = room
    this.#reflector = createReflector<Thing>({
      client: around.client,
      path: room.all,
      frozen: true,
      timing: { baseMs: 20, maxMs: 400, unreachableMaxMs: 400, refusedMaxMs: 400 },
    })
    this.#judgeChanges()
    this.#controllers = writers.map((writer) => this.#controller(writer))
    const { signal } = this.#stop
    this.#running = [this.#reflector.run(signal), ...this.#controllers.map((c) => c.run(signal))]
  }

  static async make(around: Surroundings, space: string): Promise<ModelWorld> {
    const world = new ModelWorld(around, await makeRoom(around.direct, space))
    await world.#reflector.store.synced(AbortSignal.timeout(20_000))
    return world
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#running)
  }

  async create(name: string): Promise<void> {
    await this.#room.create(name, { spec: { n: 1 } })
  }
  async update(name: string, n: number): Promise<void> {
    await this.#around.direct.mergePatch(this.#room.path(name), { spec: { n } }, call())
  }
  async remove(name: string): Promise<void> {
    await this.#around.direct.remove(this.#room.path(name), call())
  }

  cutWatches(how: 'clean' | 'reset'): void {
    this.#around.proxy.cutWatches(how)
  }
  /** The next writes of a status are done, and nobody hears of it. */
  loseAnswers(times: number): void {
    this.#around.proxy.next(times, /^PATCH .*\/status/, { do: 'lose-answer' })
  }
  /** No watch is served from now on. */
  holdWatches(): void {
    this.#around.proxy.rule((_, url) =>
      url.includes('watch=true') ? { do: 'answer', status: 503 } : { do: 'pass' },
    )
    this.cutWatches('reset')
  }
  obey(): void {
    this.#around.proxy.obey()
  }
  async compact(): Promise<void> {
    await this.#around.plane.compact()
  }

  async kill(): Promise<void> {
    await this.#around.plane.kill('kube-apiserver')
  }
  async start(): Promise<void> {
    await this.#around.plane.start('kube-apiserver')
    await until('things are served again', () => this.#isServed())
  }
  async #isServed(): Promise<boolean> {
    return (await this.#around.direct.find(this.#room.all, call()).catch(() => {})) !== undefined
  }

  /** Waits until all agree with the model and with each other; tells what does not. */
  async quiesce(model: Model): Promise<void> {
    const end = performance.now() + convergesMs
    for (;;) {
      const wrong = await this.#disagreements(model)
      if (this.#broken.length > 0) throw new Error(this.#broken.join('\n'))
      if (wrong.length === 0) return
      if (performance.now() > end)
        throw new Error(`not within ${convergesMs} ms:\n${wrong.join('\n')}`)
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
  }

  async #disagreements(model: Model): Promise<string[]> {
    const { items } = await this.#around.direct.list<Thing>(this.#room.all, call())
    const wrong: string[] = []
    const names = items.map(({ metadata }) => metadata.name).toSorted()
    const wanted = [...model.things.keys()].toSorted()
    if (names.join() !== wanted.join()) wrong.push(`the API holds [${names}], not [${wanted}]`)
    for (const item of items) wrong.push(...this.#wrongOf(item, model))
    const listed = new Set(items.map(keyOf))
    for (const key of this.#reflector.store.keys())
      if (!listed.has(key)) wrong.push(`the store still holds ${key}`)
    // a key that is gone was handed out once more too
    for (const [pass, version] of this.#passed) {
      const [, key = ''] = pass.split(' ')
      if (!listed.has(key) && version !== undefined) wrong.push(`${pass}: its end was not passed`)
    }
    return wrong
  }

  #wrongOf(item: Thing, model: Model): string[] {
    const { name, resourceVersion, generation } = item.metadata
    const key = keyOf(item)
    const thing = model.things.get(name)
    if (!thing) return []
    const wrong: string[] = []
    const is = (what: string, found: unknown, should: unknown) => {
      if (found !== should) wrong.push(`${name}: ${what} is ${found}, not ${should}`)
    }
    is('n', item.spec?.['n'], thing.n)
    // one more for each change of the spec: a write that was done twice, or never, shows here
    is('generation', generation, thing.generation)
    is(
      'version in the store',
      this.#reflector.store.get(key)?.metadata.resourceVersion,
      resourceVersion,
    )
    for (const writer of writers) {
      is(
        `last version that ${writer} passed`,
        this.#passed.get(`${writer} ${key}`),
        resourceVersion,
      )
      const { n, trail } = followedBy(item, writer) ?? { n: undefined, trail: [] }
      is(`status of ${writer}`, n, thing.n)
      const backwards = trail.some((step, i) => i > 0 && step <= (trail[i - 1] ?? 0))
      if (backwards) wrong.push(`${name}: ${writer} wrote ${trail}`)
    }
    return wrong
  }

  /** What listeners hear of one life of an object goes forward, begins with `added` and ends with `deleted`. */
  #judgeChanges(): void {
    const alive = new Map<string, string>()
    const newest = new Map<string, number>()
    const over = new Set<string>()
    this.#reflector.store.onChange(({ type, object }) => {
      const { uid, resourceVersion } = object.metadata
      const key = keyOf(object)
      const tell = (what: string) => this.#broken.push(`${type} ${key} ${resourceVersion}: ${what}`)
      if (over.has(uid)) tell('told after its end')
      if ((type === 'added') === (alive.get(key) !== undefined))
        tell(`alive before: ${alive.get(key)}`)
      if (type !== 'added' && alive.get(key) !== uid)
        tell(`another one was alive: ${alive.get(key)}`)
      const before = newest.get(uid) ?? 0
      const isNewer = Number(resourceVersion) > before
      // what a list does not hold any more is told as it was last known
      if (!isNewer && type !== 'deleted') tell(`goes back from ${before}`)
      newest.set(uid, Math.max(before, Number(resourceVersion)))
      if (type === 'deleted') {
        alive.delete(key)
        over.add(uid)
      } else alive.set(key, uid)
    })
  }

  #controller(writer: Writer): Controller {
    const { client } = this.#around
    const status = createStatusWriter({ client, fieldManager: writer, ...thingType })
    return createController({
      name: writer,
      triggers: [trigger(this.#reflector.store, ({ object }) => [{ key: keyOf(object) }])],
      log: silentLog(),
      drainMs: 0,
      queue: { timing: { maxMs: 400, perSecond: 200 } },
      reconcile: async (key, signal) => {
        const pass = `${writer} ${key}`
        if (this.#busy.has(pass)) this.#broken.push(`${pass} is with two workers`)
        this.#busy.add(pass)
        try {
          const object = this.#reflector.store.get(key)
          if (object) {
            const path = this.#room.path(object.metadata.name)
            await status.write({ path, object, compute: (now) => follow(writer, now) }, { signal })
          }
          this.#passed.set(pass, object?.metadata.resourceVersion)
        } finally {
          this.#busy.delete(pass)
        }
        return { next: 'idle' }
      },
    })
  }
}

const call = () => ({ signal: AbortSignal.timeout(30_000) })

const followedBy = (thing: Thing, writer: Writer): Followed | undefined =>
  thing.status?.[writer] as Followed | undefined

/** A number that was written already is not written again: only a write that is lost or doubled can break the trail. */
function follow(writer: Writer, thing: Thing): Record<string, unknown> | undefined {
  const n = Number(thing.spec?.['n'])
  const { n: before, trail } = followedBy(thing, writer) ?? { n: undefined, trail: [] }
  return n === before ? undefined : { [writer]: { n, trail: [...trail, n] } }
}
