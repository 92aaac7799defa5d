import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject, onTestFailed } from 'vitest'
import { demoDocuments, loadDeployment } from '../../cli/start/demo.ts'
import { slotSelector } from '../../model/slots.ts'
import type { Cluster, InstalledCluster } from '../cluster/cluster.ts'
import { run } from '../cluster/shell.ts'
import { attachCluster } from '../cluster/throw-away.ts'
import { Recorder } from '../recorder/recorder.ts'
import { ofThisWorker } from '../setup/worker.ts'
import { Api, type Follower, type Json } from '../watchers/api.ts'
import { CpuWatch, podGroup, processesIn, stressorsIn } from '../watchers/cgroups.ts'
import { ClockWatch } from '../watchers/clock.ts'

const chart = join(import.meta.dirname, '../../config/chart')
const recorderPort = 18080
const plurals: Record<string, string> = {
  KubernetesChaosExperiment: 'kuberneteschaosexperiments',
  ChaosExperiment: 'chaosexperiments',
}
/** What the cluster itself has to do: a kubelet whose API server died twice may not ask it for a minute, milliseconds. */
const clusterMs = 150_000

/** What the runner is told of its peers; the recorder must see these words again. */
export const peerWords = {
  accountId: 'story-account',
  orgId: 'story-org',
  projectId: 'story-project',
  environmentId: 'story-environment',
  infraId: 'prodecommerce',
  accessKey: 'story-access-key',
}

/** The cluster with the product, the demo, the recorder as its peers, and all that watches from outside. */
export class World {
  readonly installed: InstalledCluster
  readonly cluster: Cluster
  readonly api: Api
  readonly recorder: Recorder
  readonly pods: Follower
  readonly experiments: Follower[]
  readonly clock = new ClockWatch()
  readonly #closers: (() => void)[] = []
  readonly #targets: string[] = []
  readonly #recorded: string
  clusterId = ''

  constructor() {
    this.installed = ofThisWorker(inject('clusters'))
    if (this.installed.provider !== 'local')
      throw new Error('stories look at cgroups of this machine: run them on the local cluster')
    this.cluster = attachCluster(this.installed)
    this.api = new Api(this.installed.kubeconfig)
    this.#recorded = mkdtempSync(join(tmpdir(), 'chaosplane-recorded-'))
    this.recorder = new Recorder(this.#recorded)
    this.pods = this.api.follow('/api/v1/pods')
    this.experiments = [
      this.api.follow('/apis/litmuschaos.io/v1alpha1/kuberneteschaosexperiments'),
      this.api.follow('/apis/chaos.chaosplane.io/v1alpha1/chaosexperiments'),
    ]
  }

  /** Starts the recorder, points the runner at it, and makes the demo application. */
  static async begin(): Promise<World> {
    const world = new World()
    const host = new URL(world.installed.apiUrl).hostname
    await world.recorder.listen(recorderPort, host)
    const url = `http://${host}:${recorderPort}`
    await world.#pointAt(url)
    const system = await world.api.get('/api/v1/namespaces/kube-system')
    world.clusterId = system.metadata.uid
    const items = demoDocuments({ image: world.installed.image, pullPolicy: 'IfNotPresent' })
      .map(({ body }) => body)
      .filter(({ metadata }) => metadata.name !== loadDeployment)
    await world.apply({ apiVersion: 'v1', kind: 'List', items })
    await Promise.all(['podtato-hats', 'podtato-left-leg'].map((name) => world.ready(name, 2)))
    return world
  }

  async end(): Promise<void> {
    // What the next file makes under the same name must not find pods of this one.
    for (const name of this.#targets) {
      await this.api.remove(`/apis/apps/v1/namespaces/demo/deployments/${name}`)
      await this.api.remove(`/api/v1/namespaces/demo/services/${name}`)
    }
    await this.pods.until('no pod of the targets', clusterMs, () =>
      this.#targets.every((name) => this.podsOf(name).length === 0),
    )
    for (const close of this.#closers) close()
    this.pods.close()
    this.clock.close()
    for (const follower of this.experiments) follower.close()
    this.api.close()
    await this.recorder.stop()
    rmSync(this.#recorded, { recursive: true, force: true })
  }

  async #pointAt(url: string): Promise<void> {
    const { namespace, helm, kubeconfig, image } = this.installed
    const map = await this.api.get(`/api/v1/namespaces/${namespace}/configmaps/chaosplane-harness`)
    if (map.data.KUBERNETES_INFRA_SERVICE_ENDPOINT.startsWith(url)) return
    const values = {
      ...peerWords,
      infraServiceEndpoint: `${url}/chaos/kserver/api`,
      'logService.endpoint': `${url}/log-service`,
      'logService.token': 'story-token',
    }
    const sets = Object.entries(values).flatMap(([key, value]) => [
      '--set-string',
      `harness.${key}=${value}`,
    ])
    const where = [`--kubeconfig=${kubeconfig}`, '--namespace', namespace]
    const how = ['--set', `image=${image}`, '--wait', '--timeout', '100s']
    await run(helm, ['upgrade', 'chaosplane', chart, ...where, ...sets, ...how], {
      timeoutMs: 120_000,
    })
  }

  /** `kubectl apply`, as a user does it. */
  async apply(document: object | string, ...flags: string[]): Promise<void> {
    const { kubectl, kubeconfig } = this.installed
    const text = typeof document === 'string' ? document : JSON.stringify(document)
    await run(kubectl, [`--kubeconfig=${kubeconfig}`, 'apply', ...flags, '-f', '-'], {
      timeoutMs: 30_000,
      input: text,
    })
  }

  /** A deployment of its own for one story, with a Service of its name. */
  async target(name: string, replicas = 1, spec: Json = {}): Promise<void> {
    const [app, service] = ['Deployment', 'Service'].map((kind) => {
      const found = demoDocuments({ image: this.installed.image, pullPolicy: 'IfNotPresent' })
        .map(({ body }) => body as Json)
        .find((body) => body.kind === kind)
      return JSON.parse(JSON.stringify(found).replaceAll('podtato-hats', name))
    })
    this.#targets.push(name)
    app.spec.replicas = replicas
    app.spec.template.spec = { ...app.spec.template.spec, ...spec }
    await this.apply({ apiVersion: 'v1', kind: 'List', items: [app, service] })
    await this.ready(name, replicas)
  }

  podsOf(app: string): Json[] {
    return [...this.pods.objects.values()].filter((pod) => pod.metadata.labels?.app === app)
  }

  ready(app: string, replicas: number, ms = clusterMs): Promise<Json[]> {
    return this.pods.until(`${replicas} ready pods of ${app}`, ms, () => {
      const pods = this.podsOf(app).filter(
        ({ status, metadata }) =>
          !metadata.deletionTimestamp &&
          status.conditions?.some((c: Json) => c.type === 'Ready' && c.status === 'True'),
      )
      return pods.length >= replicas && pods
    })
  }

  /** Watches the CPU of every pod of a deployment; the key is the pod's name. */
  watchCpu(app: string): Map<string, CpuWatch> {
    const watches = new Map<string, CpuWatch>()
    for (const { metadata } of this.podsOf(app)) {
      const watch = new CpuWatch(this.installed.nodes, metadata.uid)
      this.#closers.push(() => watch.close())
      watches.set(metadata.name, watch)
    }
    return watches
  }

  /** Creates an experiment, for a story to follow. One of this name that a failed try has left is removed first. */
  async run(document: Json): Promise<Story> {
    await this.forget(this.follow(document))
    const story = this.follow(document)
    this.#tellOnFailure(story)
    await this.api.create(story.path.slice(0, story.path.lastIndexOf('/')), document)
    return story
  }

  follow(document: Json): Story {
    return new Story(this, document)
  }

  /** Removes an experiment and waits until it is gone. */
  async forget(earlier: Story): Promise<void> {
    if (!(await this.api.get(earlier.path))) return
    await this.api.remove(earlier.path)
    await earlier.until('gone, after an earlier try', 60_000, ({ object }) => object === undefined)
  }

  /** Prints all that the API says of a run whose test fails. */
  #tellOnFailure(story: Story): void {
    try {
      onTestFailed(({ task }) => {
        const errors = task.result?.errors?.map(({ message, diff = '' }) => `${message}\n${diff}`)
        const pods = story.run ? this.faultPods(story.run.runId).map(({ status }) => status) : []
        const { path, status } = story
        const upsets = this.clock.since(story.createdAt)
        console.error(JSON.stringify({ errors, upsets, experiment: path, status, pods }, null, 1))
      })
    } catch {
      // made in a hook, where there is no test yet: `until` tells
    }
  }

  /** Pods, stressors and journals of one run that are still there. */
  async residueOf(runId: string, targets: Json[]): Promise<string[]> {
    const { nodes } = this.installed
    const selector = `labelSelector=chaos.chaosplane.io/run=${runId}`
    const { items } = await this.api.get(`/api/v1/pods?${selector}`)
    const stress = targets.flatMap(({ uid, id }: Json) => {
      const group = podGroup(nodes, uid)
      return group ? stressorsIn(group).map(({ pid }) => `stressor ${pid} in ${id}`) : []
    })
    const journals = nodes
      .map((node) => join('/var/lib/chaosplane', this.clusterId, node, runId))
      .filter((folder) => existsSync(folder) && readdirSync(folder).length > 0)
    const pods = items.map(({ metadata }: Json) => `pod ${metadata.name}`)
    return [...pods, ...stress, ...journals.map((folder) => `journal ${folder}`)]
  }

  /** What targets of the experiment with this uid hold alone. */
  async slotsOf(uid: string): Promise<string[]> {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${this.installed.namespace}/leases`
    const { items } = await this.api.get(
      `${path}?labelSelector=${encodeURIComponent(slotSelector(uid))}`,
    )
    return items.map(
      ({ metadata }: Json) => `slot for ${metadata.annotations['chaos.chaosplane.io/what']}`,
    )
  }

  /** SIGKILLs the processes of a pod whose command line contains `part`; they are found by the pod's cgroup. */
  kill(pod: Json, part: string): number {
    const group = podGroup(this.installed.nodes, pod.metadata.uid)
    const found = group ? processesIn(group).filter(({ command }) => command.includes(part)) : []
    if (found.length === 0) throw new Error(`no process ${part} in pod ${pod.metadata.name}`)
    for (const { pid } of found)
      try {
        process.kill(pid, 'SIGKILL')
      } catch (e) {
        // A child of one that was killed just now may have ended with it.
        if ((e as NodeJS.ErrnoException).code !== 'ESRCH') throw e
      }
    return Date.now()
  }

  /** A runner without the back-off that kubelet owes to one that was killed often. */
  async freshRunner(): Promise<void> {
    const old = [...this.pods.objects.values()].filter(
      ({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'runner',
    )
    for (const { metadata } of old)
      await this.api.remove(`/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`)
    const uids = old.map(({ metadata }) => metadata.uid)
    // One that has not heard yet that it is to end may still claim what is created next.
    const isOld = ({ metadata }: Json) => uids.includes(metadata.uid)
    await this.pods.until('a fresh runner alone', clusterMs, () =>
      [...this.pods.objects.values()].some(isOld)
        ? false
        : this.program('runner').some(({ status }) =>
            status.conditions?.some((c: Json) => c.type === 'Ready' && c.status === 'True'),
          ),
    )
  }

  /** `kubectl delete --force`: gone from the API at once; gives the moment. */
  async forceDelete({ metadata }: Json): Promise<number> {
    const from = Date.now()
    const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`
    await this.api.remove(`${path}?gracePeriodSeconds=0`)
    return from
  }

  /** How often fault programs of a run have told their journals on the nodes that a target is armed. */
  armed(runId: string): number {
    const folder = join('/var/lib/chaosplane', this.clusterId)
    const journals = this.installed.nodes
      .map((node) => join(folder, node, runId))
      .filter((run) => existsSync(run))
      .flatMap((run) => readdirSync(run).map((task) => join(run, task, 'events.jsonl')))
      .filter((file) => existsSync(file))
    const lines = journals.flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    return lines.filter((line) => line.includes('"event":"armed"')).length
  }

  /** Fault pods of one run. */
  faultPods(runId: string): Json[] {
    return [...this.pods.objects.values()].filter(
      ({ metadata }) =>
        metadata.labels?.['chaos.chaosplane.io/run'] === runId &&
        metadata.labels?.['chaos.chaosplane.io/part'] === 'fault-pod',
    )
  }

  /** Pods of one of the product's programs. */
  program(component: string): Json[] {
    return [...this.pods.objects.values()].filter(
      ({ metadata, status }) =>
        metadata.labels?.['app.kubernetes.io/component'] === component &&
        status.phase === 'Running' &&
        !metadata.deletionTimestamp,
    )
  }
}

/** One experiment as the API shows it. */
export class Story {
  readonly path: string
  readonly #world: World
  readonly #follower: Follower
  readonly #name: string
  readonly #namespace: string
  readonly createdAt = Date.now()

  constructor(world: World, { apiVersion, kind, metadata }: Json) {
    this.#world = world
    this.#name = metadata.name
    this.#namespace = metadata.namespace ?? 'v2'
    this.path = `/apis/${apiVersion}/namespaces/${this.#namespace}/${plurals[kind]}/${metadata.name}`
    const [first, second] = world.experiments as [Follower, Follower]
    this.#follower = kind === 'ChaosExperiment' ? second : first
  }

  get object(): Json {
    return this.#follower.get(this.#namespace, this.#name)
  }
  get status(): Json {
    return this.object?.status ?? {}
  }
  get run(): Json {
    return this.status.run
  }
  get targets(): Json[] {
    return (this.run?.tasks ?? []).flatMap((task: Json) => task.targets)
  }
  /** every state that was seen of it, with its time */
  get history() {
    return this.#follower.history.filter(
      ({ object, at }) => object.metadata.name === this.#name && at >= this.createdAt,
    )
  }

  async until<T>(what: string, ms: number, look: (story: Story) => T | undefined | false) {
    try {
      return await this.#follower.until(`${this.#name}: ${what}`, ms, () => look(this))
    } catch (e) {
      throw new Error(`${(e as Error).message}\n${JSON.stringify(this.status, null, 1)}`)
    }
  }

  injected(ms = 30_000) {
    return this.until('an injection', ms, ({ targets }) =>
      targets.some((t) => t.state === 'injected'),
    )
  }

  /** Asks for the early end by annotation. */
  abort() {
    const annotations = { 'chaos.chaosplane.io/abort': 'true' }
    return this.#world.api.patch(this.path, { metadata: { annotations } })
  }

  /** The verdict is written and the resource let go. */
  finished(ms = 60_000): Promise<Json> {
    return this.until('finished, with a verdict and without finalizer', ms, ({ object }) => {
      const over = object?.status?.run?.finishedAt && !object.metadata.finalizers?.length
      const judged = !['', 'Awaited', undefined].includes(object?.status?.verdict)
      return over && judged && object.status
    })
  }

  /** SIGKILLs this runner; gives that moment, and the one at which the run has another runner on record. */
  async losesRunner(runner: Json, who = 'runner'): Promise<{ killed: number; adopted: number }> {
    const killed = this.#world.kill(runner, 'runner.cjs')
    const adopted = await this.until('the adoption', 30_000, ({ history }) =>
      history.find(({ object }) => object.status?.run?.adoptions === 1),
    )
    console.log(`${who} killed to adopted: ${adopted.at - killed} ms`)
    return { killed, adopted: adopted.at }
  }

  /** What an abort, a kill or a normal end must never leave. Empty when all is well. */
  async residue(): Promise<string[]> {
    const { run, targets } = this
    const left: string[] = (this.object?.metadata.finalizers ?? []).map(
      (f: string) => `finalizer ${f}`,
    )
    const slots = await this.#world.slotsOf(this.history.at(-1)?.object.metadata.uid)
    return [...left, ...slots, ...(await this.#world.residueOf(run.runId, targets))]
  }
}
