import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { demoDocuments } from '../cli/start/demo.ts'
import { busyboxImage } from '../test-e2e/cluster/basic-images.ts'
import type { Cluster } from '../test-e2e/cluster/cluster.ts'
import { chaosplaneImage } from '../test-e2e/cluster/image.ts'
import { run, type Say } from '../test-e2e/cluster/shell.ts'
import { clientTool, throwAwayCluster } from '../test-e2e/cluster/throw-away.ts'
import { Recorder } from '../test-e2e/recorder/recorder.ts'
import { Api, type Follower, type Json } from '../test-e2e/watchers/api.ts'
import { AuditTrace, CpuTrace, now, ProcessTrace } from './traces.ts'

const chart = join(import.meta.dirname, '../config/chart')
export const experiments = '/apis/litmuschaos.io/v1alpha1/namespaces/v2/kuberneteschaosexperiments'
/** how long the probe takes: longer than a fault pod needs to be armed */
const probeMs = 2_500

/** A cluster with the product and idle targets on it, and all that looks at it. */
export class Place {
  readonly cluster: Cluster
  readonly api: Api
  readonly recorder: Recorder
  readonly audit: AuditTrace
  readonly pods: Follower
  readonly runs: Follower
  readonly archive: string
  /** the image of all programs */
  readonly image: string
  /** when the probe's answers were sent */
  readonly answers: number[] = []
  readonly #probed: Server
  readonly #folder: string
  #ended: Promise<void> | undefined
  probeUrl = ''

  private constructor(cluster: Cluster, image: { name: string; archive: string }) {
    if (!cluster.auditLog || cluster.provider !== 'local')
      throw new Error(
        'cgroups and the audit log are read: end docker, so that a local cluster is made',
      )
    this.cluster = cluster
    this.archive = image.archive
    this.image = image.name
    this.api = new Api(cluster.kubeconfig)
    this.#folder = mkdtempSync(join(tmpdir(), 'chaosplane-bench-'))
    this.recorder = new Recorder(this.#folder)
    this.audit = new AuditTrace(cluster.auditLog)
    this.pods = this.api.follow('/api/v1/pods')
    this.runs = this.api.follow(experiments)
    this.#probed = createServer((_request, response) => {
      setTimeout(() => {
        this.answers.push(now())
        response.end('ok')
      }, probeMs)
    })
  }

  static async make(say: Say): Promise<Place> {
    const image = await chaosplaneImage(say)
    const cluster = await throwAwayCluster({ nodes: 2, images: [image.archive], say })
    try {
      const place = new Place(cluster, image)
      await place.#install(say)
      await place.#demo()
      return place
    } catch (e) {
      await cluster.down()
      throw e
    }
  }

  /** Ends everything that was started; asked twice, the second waits for the first. */
  end(): Promise<void> {
    this.#ended ??= this.#end()
    return this.#ended
  }

  async #end(): Promise<void> {
    this.pods.close()
    this.runs.close()
    this.api.close()
    this.#probed.closeAllConnections()
    this.#probed.close()
    await this.recorder.stop()
    await rm(this.#folder, { recursive: true, force: true })
    await this.cluster.down()
  }

  podsOf(label: string, value: string): Json[] {
    return [...this.pods.objects.values()].filter(
      ({ metadata }) => metadata.labels?.[label] === value && !metadata.deletionTimestamp,
    )
  }

  /** The only ready pod of a target deployment, and a trace of its CPU. */
  async traced(app: string): Promise<CpuTrace> {
    return new CpuTrace(this.cluster.nodes, await this.#container(app))
  }

  /** The only ready pod of a target deployment, and a trace of the processes in it. */
  async processes(app: string): Promise<ProcessTrace> {
    return new ProcessTrace(this.cluster.nodes, await this.#container(app))
  }

  async #container(app: string): Promise<{ uid: string; containerId: string }> {
    const [pod] = await this.ready(app, 1)
    const containerId = pod.status.containerStatuses[0].containerID.split('//')[1]
    return { uid: pod.metadata.uid, containerId }
  }

  ready(app: string, count: number): Promise<Json[]> {
    return this.pods.until(`${count} ready pods of ${app}`, 60_000, () => {
      const ready = this.podsOf('app', app).filter(({ status }) =>
        status.conditions?.some((c: Json) => c.type === 'Ready' && c.status === 'True'),
      )
      return ready.length >= count && ready
    })
  }

  /** When a run's verdict was first seen in a watch. */
  async verdictAt(name: string): Promise<number> {
    const judged = ({ object }: { object: Json }) =>
      object.metadata.name === name &&
      /^(Pass|Fail|Error|Stopped|Aborted|N\/A)$/.test(object.status?.verdict ?? '')
    const seen = () => this.runs.history.find(judged)?.at
    try {
      return await this.runs.until(`verdict of ${name}`, 60_000, seen)
    } catch (e) {
      const { phase, verdict, message, run } = this.runs.get('v2', name)?.status ?? {}
      const tasks = run?.tasks?.map((t: Json) => `${t.name} ${t.stage} ${t.message ?? ''}`)
      throw new Error(`${name}: phase ${phase}, verdict ${verdict}, ${message}; ${tasks}`, {
        cause: e,
      })
    }
  }

  /** Removes a run and waits until it and its pods are gone. */
  async clear(name: string): Promise<void> {
    await this.api.remove(`${experiments}/${name}`)
    const fault = () =>
      this.podsOf('chaos.chaosplane.io/part', 'fault-pod').filter(
        ({ metadata }) => metadata.labels['chaos.chaosplane.io/warm'] !== 'free',
      )
    await this.runs.until(`${name} is gone`, 30_000, () => !this.runs.get('v2', name))
    await this.pods.until('fault pods are gone', 30_000, () => fault().length === 0)
    await delay(300)
  }

  /** Changes one value of the release. */
  async upgrade(value: string): Promise<void> {
    const where = [`--kubeconfig=${this.cluster.kubeconfig}`, '-n', 'chaosplane', '--reuse-values']
    const how = ['--set', value, '--wait', '--timeout', '100s']
    await run(await clientTool('helm'), ['upgrade', 'chaosplane', chart, ...where, ...how], {
      timeoutMs: 120_000,
    })
  }

  async #install(say: Say): Promise<void> {
    say('installing the chart')
    const host = new URL(this.cluster.apiUrl).hostname
    const url = `http://${host}:${await this.recorder.listen(0, host)}`
    await new Promise<void>((resolve) => this.#probed.listen(0, host, resolve))
    this.probeUrl = `http://${host}:${(this.#probed.address() as AddressInfo).port}/`
    const where = [
      `--kubeconfig=${this.cluster.kubeconfig}`,
      '-n',
      'chaosplane',
      '--create-namespace',
    ]
    const values = [
      `image=${this.image}`,
      `harness.infraServiceEndpoint=${url}/chaos/kserver/api`,
      `harness.logService.endpoint=${url}/log-service`,
      'harness.accessKey=bench',
      'harness.logService.token=bench',
    ].flatMap((value) => ['--set', value])
    const wait = ['--wait', '--timeout', '150s']
    await run(
      await clientTool('helm'),
      ['install', 'chaosplane', chart, ...where, ...values, ...wait],
      {
        timeoutMs: 180_000,
      },
    )
  }

  async #demo(): Promise<void> {
    const wanted = ['Namespace', 'ServiceAccount', 'RoleBinding']
    const demo = demoDocuments({ image: busyboxImage, pullPolicy: 'Never' }).map(({ body }) => body)
    const items = demo.filter(({ kind }) => wanted.includes(kind))
    await this.#apply(items)
    await this.targets({ 'bench-delete': 2, 'bench-one': 1, 'bench-two': 1 })
  }

  /** Deployments that idle, by name and number of replicas; resolves when all are ready. */
  async targets(wanted: Record<string, number>): Promise<void> {
    const all = Object.entries(wanted)
    await this.#apply(all.map(([name, replicas]) => target(name, replicas)))
    await Promise.all(all.map(([name, replicas]) => this.ready(name, replicas)))
  }

  async #apply(items: object[]): Promise<void> {
    const kubectl = [`--kubeconfig=${this.cluster.kubeconfig}`, 'apply', '-f', '-']
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
    await run(await clientTool('kubectl'), kubectl, { input })
  }
}

const target = (name: string, replicas: number): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'demo' },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'idle', image: busyboxImage, command: ['sleep', '86400'] }],
      },
    },
  },
})

type Task = {
  fault: string
  /** deployment in namespace demo; none for what is aimed at nodes */
  target?: string
  env: Record<string, string | number>
  probeUrl?: string
}

/** An experiment with one task after the other. */
export const experiment = (name: string, tasks: Task[]): object => ({
  apiVersion: 'litmuschaos.io/v1alpha1',
  kind: 'KubernetesChaosExperiment',
  metadata: { name, namespace: 'v2' },
  spec: {
    serviceAccountName: 'litmus',
    cleanupPolicy: 'delete',
    experimentId: 'bench',
    steps: tasks.map((_task, i) => [{ name: `task-${i}` }]),
    tasks: tasks.map((task, i) => ({ name: `task-${i}`, definition: definition(task) })),
  },
})

const definition = ({ fault, target, env, probeUrl }: Task): object => ({
  ...(target === undefined
    ? {}
    : {
        targets: {
          selectors: { workloads: [{ kind: 'deployment', namespace: 'demo', names: target }] },
        },
      }),
  chaos: {
    experiment: fault,
    env: Object.entries(env).map(([name, value]) => ({ name, value: String(value) })),
    ...(probeUrl ? { probes: [probe(probeUrl)] } : {}),
  },
})

const probe = (url: string): object => ({
  name: 'web',
  type: 'httpProbe',
  mode: 'SOT',
  'httpProbe/inputs': { url, method: { get: { criteria: '==', responseCode: '200' } } },
  runProperties: { probeTimeout: '6s', interval: '1s', attempt: 1 },
})
