import { createKubeClient, type KubeClient } from '../../../lib/kube/client.ts'
import { loadKubeConfig } from '../../../lib/kube/config.ts'
import {
  chaosExperiments,
  configMaps,
  namespaces,
  nodes,
  resourcePath,
  serviceAccounts,
} from '../../../lib/kube/paths.ts'
import { startUnrulyProxy, type UnrulyProxy } from '../../../lib/kube/testing/unruly-proxy.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import { silentLog } from '../../../lib/log.ts'
import { haltConfigMap } from '../../../model/halt.ts'
import type { RunState } from '../../../model/state.ts'
import { type ControlPlane, startControlPlane } from '../../../test-e2e/cluster/control-plane.ts'
import { applyCrds } from '../../../test-e2e/setup/api-server.ts'
import type { Node } from '../../faults/nodes.ts'
import { runRunner } from '../../program.ts'
import { settingsFrom } from '../../settings.ts'
import { abortAnnotation } from '../claim.ts'
import type { Experiment } from '../resource.ts'

type Parts = { kube: KubeClient; kubeconfig: string; namespace: string; proxy: UnrulyProxy | null }
type Posing = { /** the runner speaks to its API server through an UnrulyProxy */ unruly?: true }
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
const usualMs = 30_000

/** A whole runner on a real API server without kubelets, in a namespace of its own, and experiments that taint nodes. */
export class PosedRunner {
  readonly #parts: Parts
  readonly #plane: ControlPlane
  #stop = new AbortController()
  #running: Promise<void> = Promise.resolve()
  readonly call = { signal: AbortSignal.timeout(240_000) }

  private constructor(parts: Parts, plane: ControlPlane) {
    this.#parts = parts
    this.#plane = plane
  }

  /** With an API server of its own: it would take every experiment of a common one for its own. */
  static async alone(
    namespace: string,
    env: Record<string, string> = {},
    { unruly }: Posing = {},
  ): Promise<PosedRunner> {
    const plane = await startControlPlane()
    const { kubeconfig } = plane
    try {
      await applyCrds(kubeconfig)
      const config = loadKubeConfig({ file: kubeconfig, env: {} })
      const kube = createKubeClient({ config, userAgent: 'tests/1' })
      const proxy = unruly ? await startUnrulyProxy(kubeconfig) : null
      const runner = new PosedRunner({ kube, kubeconfig, namespace, proxy }, plane)
      await runner.#settle()
      await runner.#start(env)
      return runner
    } catch (error) {
      await plane.down()
      throw error
    }
  }

  get kube(): KubeClient {
    return this.#parts.kube
  }

  get proxy(): UnrulyProxy {
    const { proxy } = this.#parts
    if (!proxy) throw new Error('this runner speaks to its API server itself')
    return proxy
  }

  /** Makes the namespace with account and ConfigMap. */
  async #settle(): Promise<void> {
    const { namespace } = this.#parts
    await this.kube.create(resourcePath(namespaces), { metadata: { name: namespace } }, this.call)
    const map = { metadata: { name: haltConfigMap } }
    await this.kube.create(resourcePath({ ...configMaps, namespace }), map, this.call)
    const account = { metadata: { name: 'chaosplane-experiment' } }
    await this.kube.create(resourcePath({ ...serviceAccounts, namespace }), account, this.call)
    const binding = {
      metadata: { name: namespace },
      roleRef: { apiGroup: rbac.group, kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: account.metadata.name, namespace }],
    }
    const bindings = resourcePath({ ...rbac, plural: 'clusterrolebindings' })
    await this.kube.create(bindings, binding, this.call)
  }

  async #start(env: Record<string, string>): Promise<void> {
    const { namespace, kubeconfig, proxy } = this.#parts
    const pod = `runner-of-${namespace}`
    const settings = settingsFrom({ POD_NAME: pod, POD_NAMESPACE: namespace, IMAGE: 'i', ...env })
    const config = proxy?.config ?? loadKubeConfig({ file: kubeconfig, env: {} })
    const ready = Promise.withResolvers<void>()
    const parts = { settings, config, log: silentLog(), newId: () => crypto.randomUUID() }
    this.#running = runRunner({ ...parts, onReady: ready.resolve }, this.#stop.signal)
    await Promise.race([ready.promise, this.#running])
  }

  /** Has the runner hand over and end; `meanwhile` is done before another one comes in its place. */
  async replace(meanwhile: () => Promise<unknown>): Promise<void> {
    this.#stop.abort(new Error('another one comes'))
    await this.#running
    await meanwhile()
    this.#stop = new AbortController()
    await this.#start({})
  }

  /** As SIGTERM does. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'))
    await this.#running
  }

  async end(): Promise<void> {
    try {
      await this.stop()
    } finally {
      await this.kube.close()
      await this.#parts.proxy?.close()
      await this.#plane.down()
    }
  }

  makeNode(name: string, labels: Record<string, string> = {}): Promise<KubeObject> {
    return this.kube.create(resourcePath(nodes), { metadata: { name, labels } }, this.call)
  }

  /** Taints of the tests' own key. */
  async taints(name: string): Promise<string[]> {
    const node = await this.kube.get<Node>(resourcePath({ ...nodes, name }), this.call)
    return (node.spec?.taints ?? []).map((t) => t.key).filter((key) => key === 'story')
  }

  /** An experiment that taints the nodes of a target for a minute. */
  taint(
    name: string,
    target: object,
    annotations: Record<string, string> = {},
  ): Promise<Experiment> {
    return this.create(name, {
      annotations,
      target: { kind: 'Node', ...target },
      action: { type: 'node-taint', parameters: { key: 'story' } },
    })
  }

  create(
    name: string,
    {
      annotations = {},
      ...spec
    }: { annotations?: Record<string, string>; [field: string]: unknown },
  ): Promise<Experiment> {
    const { namespace } = this.#parts
    const body = {
      apiVersion: 'chaos.chaosplane.io/v1alpha1',
      kind: 'ChaosExperiment',
      metadata: { name, namespace, annotations },
      spec: { duration: '60s', ...spec },
    }
    return this.kube.create(resourcePath({ ...chaosExperiments, namespace }), body, this.call)
  }

  pathOf(name: string): string {
    const { namespace } = this.#parts
    return resourcePath({ ...chaosExperiments, namespace, name })
  }

  experiment(name: string): Promise<Experiment> {
    return this.kube.get<Experiment>(this.pathOf(name), this.call)
  }

  abort(name: string): Promise<Experiment> {
    const annotations = { [abortAnnotation]: 'true' }
    return this.kube.mergePatch(this.pathOf(name), { metadata: { annotations } }, this.call)
  }

  /** The run of an experiment as soon as it is as `look` says. */
  async until(
    name: string,
    look: (run: RunState, object: Experiment) => boolean | undefined,
  ): Promise<RunState> {
    for (const end = Date.now() + usualMs; ; ) {
      const object = await this.experiment(name)
      const run = object.status?.run as RunState | undefined
      if (run && look(run, object)) return run
      if (Date.now() > end) throw new Error(`${name}: not seen; ${JSON.stringify(object)}`)
      await new Promise((done) => setTimeout(done, 50))
    }
  }

  injected(name: string): Promise<RunState> {
    return this.until(name, (run) => run.tasks[0]?.targets.some((t) => t.state === 'injected'))
  }

  /** The end of its run, with the resource let go. */
  finished(name: string): Promise<RunState> {
    return this.until(
      name,
      (run, { metadata }) => run.finishedAt !== undefined && !metadata.finalizers?.length,
    )
  }
}
