import { readFile } from 'node:fs/promises'
import dotI, {
  type ResourceEvent,
  type ResourceEventType,
  type ResourceMeta,
} from '@dot-i/k8s-operator'
import { KubeConfig } from '@kubernetes/client-node'
import { parse } from 'yaml'
import type { KubeClient } from '../lib/kube/client.ts'
import {
  type Controller,
  type ControllerOptions,
  createController,
  type Trigger,
  trigger,
} from '../lib/kube/controller.ts'
import { addFinalizer, removeFinalizer } from '../lib/kube/finalizer.ts'
import { apiVersionOf, customResourceDefinitions, resourcePath } from '../lib/kube/paths.ts'
import { createReflector, type Reflector, type ReflectorOptions } from '../lib/kube/reflector.ts'
import { createStatusWriter, type StatusWriter } from '../lib/kube/status.ts'
import type { Cache } from '../lib/kube/store.ts'
import { type KubeObject, keyOf } from '../lib/kube/types.ts'
import type { Log } from '../lib/log.ts'

/** What the operator process is made from. */
export type OperatorSettings = {
  client: KubeClient
  config: KubeConfig
  log: Log
  /** owner of the fields that this operator writes */
  fieldManager: string
  /** false: `start` only fills the caches, and `work` is called when this replica leads. Default true */
  workAtOnce?: boolean
}

/** A kind to follow, without the parts that the operator brings itself. */
export type Followed<T extends KubeObject> = Omit<ReflectorOptions<T>, 'client'>

type OnEvent = (event: ResourceEvent) => Promise<void>
type Kind = { group: string; version: string; plural: string }

/**
 * The operator skeleton of @dot-i/k8s-operator (init, start, stop, ResourceEvent) over our own watching,
 * queueing, status and finalizers: see docs/decisions/0001-kubernetes-access.md.
 */
export abstract class ChaosOperator extends dotI.default {
  protected readonly client: KubeClient
  protected readonly log: Log
  readonly #settings: OperatorSettings
  readonly #reflectors: Reflector<KubeObject>[] = []
  readonly #controllers: Controller[] = []
  /** kinds given to watchResource, by the id that ResourceMeta carries */
  readonly #kinds = new Map<string, Kind>()
  readonly #writers = new Map<string, StatusWriter>()
  readonly #stopping = new AbortController()
  #running: Promise<unknown> = Promise.resolve()
  #working: Promise<unknown> = Promise.resolve()

  constructor(settings: OperatorSettings) {
    const giveBack = lendConfig(settings.config)
    try {
      super(loggerOf(settings.log))
    } finally {
      giveBack()
    }
    this.kubeConfig = settings.config
    this.client = settings.client
    this.log = settings.log
    this.#settings = settings
  }

  /** init(), then follows what it registered; resolves when everything is under way. */
  override async start(): Promise<void> {
    await super.start()
    const { signal } = this.#stopping
    this.#running = Promise.all(this.#reflectors.map((r) => r.run(signal)))
    if (this.#settings.workAtOnce !== false) this.#working = this.work(signal)
  }

  /** Runs all controllers until the signal; what is under way then is drained. */
  async work(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#controllers.map((c) => c.run(signal)))
  }

  /** Drains the controllers, then ends the watches. */
  override async stop(): Promise<void> {
    this.#stopping.abort(new Error('the operator was stopped'))
    await this.#working
    await this.#running
  }

  /** True while every cache holds a whole list and none has trouble with its watch. */
  ready(): boolean {
    return this.#reflectors.every((r) => r.store.hasSynced() && r.trouble() === undefined)
  }

  /** A cache that follows a kind from `start` on. Call it in init(). */
  protected follow<T extends KubeObject>(options: Followed<T>): Cache<T> {
    const reflector = createReflector<T>({
      onError: (err, waitMs) =>
        this.log.warn({ path: options.path, waitMs, err }, 'a watch failed and will be repeated'),
      onListenerError: (err) => this.log.error({ path: options.path, err }, 'a listener threw'),
      ...options,
      client: this.client,
    })
    this.#reflectors.push(reflector as unknown as Reflector<KubeObject>)
    return reflector.store
  }

  /** A reconcile loop that runs while this replica works. Call it in init(). */
  protected control(options: Omit<ControllerOptions, 'log'>): Controller {
    const controller = createController({ ...options, log: this.log })
    this.#controllers.push(controller)
    return controller
  }

  /**
   * As the base class documents it, and: no deletion is lost, a handler that throws is called again with
   * growing waits, several objects are handled at once and never one object twice at once.
   */
  protected override async watchResource(
    group: string,
    version: string,
    plural: string,
    onEvent: OnEvent,
    namespace?: string,
  ): Promise<void> {
    const kind = { group, version, plural }
    const id = `${plural}.${apiVersionOf(kind)}`
    this.#kinds.set(id, kind)
    const path = resourcePath({ ...kind, ...(namespace ? { namespace } : {}) })
    const cache = this.follow<KubeObject>({ path })
    const delivery = createDelivery({ id, cache, onEvent })
    this.control({
      name: id,
      triggers: [delivery.trigger],
      reconcile: async (key) => {
        await delivery.look(key)
        return { next: 'idle' }
      },
    })
  }

  protected override async setResourceStatus(
    meta: ResourceMeta,
    status: unknown,
  ): Promise<ResourceMeta | null> {
    const path = this.#pathOf(meta)
    const { signal } = this.#stopping
    const object = await this.client.find<KubeObject>(path, { signal })
    if (!object) return null
    const compute = () => status as Record<string, unknown>
    const written = await this.#writerOf(meta).write({ path, object, compute }, { signal })
    return written ? dotI.ResourceMetaImpl.createWithId(meta.id, theirs(written)) : null
  }

  protected override async patchResourceStatus(
    meta: ResourceMeta,
    status: unknown,
  ): Promise<ResourceMeta | null> {
    const path = `${this.#pathOf(meta)}/status`
    const { signal } = this.#stopping
    const patched = await this.client.mergePatch<KubeObject>(path, { status }, { signal })
    return dotI.ResourceMetaImpl.createWithId(meta.id, theirs(patched))
  }

  protected override async handleResourceFinalizer(
    event: ResourceEvent,
    finalizer: string,
    deleteAction: OnEvent,
  ): Promise<boolean> {
    if (event.type === dotI.ResourceEventType.Deleted) return false
    const object = event.object as unknown as KubeObject
    const of = { client: this.client, path: this.#pathOf(event.meta), object, finalizer }
    const { signal } = this.#stopping
    const held = object.metadata.finalizers?.includes(finalizer) ?? false
    if (!object.metadata.deletionTimestamp) {
      if (held) return false
      // the change comes back as an event of its own
      await addFinalizer(of, { signal })
      return true
    }
    if (held) {
      await deleteAction(event)
      await removeFinalizer(of, { signal })
    }
    return true
  }

  /** Refused when somebody changed the object since `meta`: the caller is called again with the new one. */
  protected override async setResourceFinalizers(
    meta: ResourceMeta,
    finalizers: string[],
  ): Promise<void> {
    const metadata = { resourceVersion: meta.resourceVersion, finalizers }
    const { signal } = this.#stopping
    await this.client.mergePatch(this.#pathOf(meta), { metadata }, { signal })
  }

  protected override async registerCustomResourceDefinition(crdFile: string) {
    const crd = parse(await readFile(crdFile, 'utf8')) as Definition
    if (!crd?.apiVersion?.startsWith('apiextensions.k8s.io/'))
      throw new Error(`${crdFile} is not a CustomResourceDefinition of apiextensions.k8s.io`)
    const path = resourcePath({ ...customResourceDefinitions, name: crd.metadata.name })
    const { fieldManager } = this.#settings
    const { signal } = this.#stopping
    await this.client.apply(path, crd, { signal, fieldManager, force: true })
    const { group, versions, names } = crd.spec
    return { group, versions, plural: names.plural }
  }

  protected override getCustomResourceApiUri(
    group: string,
    version: string,
    plural: string,
    namespace?: string,
  ): string {
    const path = resourcePath({ group, version, plural, ...(namespace ? { namespace } : {}) })
    return `${this.kubeConfig.getCurrentCluster()?.server ?? ''}${path}`
  }

  #pathOf({ id, name, namespace }: ResourceMeta): string {
    const kind = this.#kinds.get(id)
    if (!kind) throw new Error(`${id} was not given to watchResource`)
    return resourcePath({ ...kind, name, ...(namespace ? { namespace } : {}) })
  }

  #writerOf({ id, apiVersion, kind }: ResourceMeta): StatusWriter {
    const { client, fieldManager } = this.#settings
    const writer =
      this.#writers.get(id) ?? createStatusWriter({ client, fieldManager, apiVersion, kind })
    this.#writers.set(id, writer)
    return writer
  }
}

type Definition = {
  apiVersion: string
  metadata: { name: string }
  spec: {
    group: string
    versions: { name: string; served: boolean; storage: boolean }[]
    names: { plural: string }
  }
}

/**
 * The base constructor loads the user's default kubeconfig, whatever we pass: it fails on a broken file and
 * would pick another cluster; and it makes a client of the generated API. For that one call the load copies our
 * config and no such client is made. Returns the way back.
 */
function lendConfig(config: KubeConfig): () => void {
  const { loadFromDefault, makeApiClient } = KubeConfig.prototype
  KubeConfig.prototype.loadFromDefault = function lent(this: KubeConfig) {
    this.loadFromOptions(config)
  }
  // k8sApi is of no use to us, and the image leaves the generated API classes out
  KubeConfig.prototype.makeApiClient = () => ({}) as never
  return () => {
    Object.assign(KubeConfig.prototype, { loadFromDefault, makeApiClient })
  }
}

const loggerOf = (log: Log) => ({
  debug: (message: string) => log.debug(message),
  info: (message: string) => log.info(message),
  warn: (message: string) => log.warn(message),
  error: (message: string) => log.error(message),
})

/** Their type of an object wants `undefined` where ours leaves a field out. */
const theirs = (object: KubeObject): ResourceEvent['object'] =>
  object as unknown as ResourceEvent['object']

type DeliveryOptions = { id: string; cache: Cache<KubeObject>; onEvent: OnEvent }
type Delivery = { trigger: Trigger; look(key: string): Promise<void> }

/** Turns «look at this key» into ADDED, MODIFIED and DELETED, in the order in which a handler expects them. */
function createDelivery({ id, cache, onEvent }: DeliveryOptions): Delivery {
  const delivered = new Map<string, KubeObject>()
  const tell = (type: ResourceEventType, object: KubeObject): Promise<void> =>
    onEvent({
      type,
      object: theirs(object),
      meta: dotI.ResourceMetaImpl.createWithId(id, theirs(object)),
    })
  const { Added, Modified, Deleted } = dotI.ResourceEventType
  const changes = trigger(cache, ({ object }) => [{ key: keyOf(object) }])
  return {
    trigger: {
      ...changes,
      listen(add) {
        // what was deleted while nobody worked is in no cache any more
        for (const key of delivered.keys()) add({ key })
        return changes.listen(add)
      },
    },
    async look(key) {
      let last = delivered.get(key)
      const now = cache.get(key)
      if (last && last.metadata.uid !== now?.metadata.uid) {
        await tell(Deleted, last)
        delivered.delete(key)
        last = undefined
      }
      if (!now || now === last) return
      await tell(last ? Modified : Added, now)
      delivered.set(key, now)
    },
  }
}
