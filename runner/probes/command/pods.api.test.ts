import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../lib/clock.ts'
import { createKubeClient, type KubeClient } from '../../../lib/kube/client.ts'
import { loadKubeConfig } from '../../../lib/kube/config.ts'
import { KubeError } from '../../../lib/kube/errors.ts'
import { namespaces, pods, resourcePath, serviceAccounts } from '../../../lib/kube/paths.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import { apiServer } from '../../../test-e2e/setup/worker.ts'
import { evaluateProbe } from '../evaluate.ts'
import { commandPlan, probeIo } from '../test-plans.ts'
import type { Exec } from './exec.ts'
import { type CommandPodParts, createCommandPods } from './pods.ts'

const namespace = 'cmd-probe'
const path = resourcePath({ ...pods, namespace })
const signal = AbortSignal.timeout(300_000)
const call = { signal }
let kube: KubeClient
const stopKubelet = new AbortController()
let run = 0

beforeAll(async () => {
  const file = apiServer().kubeconfig
  kube = createKubeClient({ config: loadKubeConfig({ file, env: {} }), userAgent: 'tests/1' })
  await kube.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
  const accounts = resourcePath({ ...serviceAccounts, namespace })
  await kube.create(accounts, { metadata: { name: 'default' } }, call)
  void standInForKubelet(stopKubelet.signal).catch(() => {})
})
beforeEach(() => {
  run += 1
})
afterAll(async () => {
  stopKubelet.abort()
  await kube?.close()
})

/** There is no node here: what kubelet would say of a pod is written by the test. */
async function standInForKubelet(until: AbortSignal): Promise<void> {
  const running = {
    phase: 'Running',
    containerStatuses: [{ name: 'probe', ready: true, state: { running: {} } }],
  }
  const say = ({ metadata }: KubeObject) =>
    kube.mergePatch(`${path}/${metadata.name}/status`, { status: running }, call)
  while (!until.aborted) {
    try {
      for await (const { type, object } of kube.watch(path, { signal: until }))
        if (type === 'ADDED' && !object.metadata.labels?.['stuck']) await say(object)
    } catch {
      // The pod may be gone before it is said to run; the next watch begins with those that are there.
      await systemClock.sleep(20, until).catch(() => {})
    }
  }
}

const echo: Exec = async ({ pod }) => ({ code: 0, stdout: pod, stderr: '', truncated: false })
const anything = { type: 'string', criteria: 'contains', value: '' } as const

function runner(given: Partial<CommandPodParts> = {}, labels: Record<string, string> = {}) {
  const commands = createCommandPods({
    kube,
    exec: echo,
    clock: systemClock,
    as: undefined,
    startMs: 20_000,
    ...given,
    settings: {
      image: 'a',
      imagePullPolicy: 'Never',
      imagePullSecrets: [],
      namespace,
      name: `task-${run}`,
      labels: { run: String(run), ...labels },
      owner: null,
      lifeSeconds: 60,
      pods: {},
    },
  })
  const io = probeIo({ commands })
  const plan = commandPlan({ comparator: anything }, { attempts: 1 })
  return { commands, evaluate: () => evaluateProbe(plan, io, signal) }
}

const here = async () =>
  (await kube.list<KubeObject>(path, { ...call, query: { labelSelector: `run=${run}` } })).items

describe('the pods of cmd probes', () => {
  it('are one for many evaluations, and gone after the end', async () => {
    const { commands, evaluate } = runner()
    const seen = await Promise.all([evaluate(), evaluate(), evaluate()])
    expect(seen.map((one) => one.outcome)).toEqual(['passed', 'passed', 'passed'])
    expect(await here()).toHaveLength(1)
    await commands.close(signal)
    await commands.close(signal)
    expect(await here()).toHaveLength(0)
  })

  it('are made ahead when they are warmed, and gone although no command ran', async () => {
    const { commands } = runner()
    commands.warm([commandPlan().inputs, commandPlan({ command: 'other' }).inputs])
    await commands.close(signal)
    expect(await here()).toHaveLength(0)
  })

  it('are taken over by the next runner of the same run', async () => {
    const first = runner()
    await first.evaluate()
    const second = runner()
    await second.evaluate()
    expect(await here()).toHaveLength(1)
    await second.commands.close(signal)
    expect(await here()).toHaveLength(0)
  })

  it('leave a stranger of the same name alone', async () => {
    const stranger = runner({}, { run: 'somebody' })
    await stranger.evaluate()
    const ours = runner()
    expect(await ours.evaluate()).toMatchObject({ outcome: 'passed' })
    const [pod] = await here()
    expect(pod?.metadata.name).toMatch(/-1$/)
    await ours.commands.close(signal)
    expect(await here()).toHaveLength(0)
    const all = await kube.list<KubeObject>(path, call)
    expect(all.items.filter((p) => p.metadata.labels?.['run'] === 'somebody')).toHaveLength(1)
    await stranger.commands.close(signal)
  })

  it('are made again for the next try when they were lost', async () => {
    const exec: Exec = async (options) => {
      const found = await kube.find(`${path}/${options.pod}`, call)
      if (!found)
        throw new KubeError({ status: 404, reason: 'NotFound', message: 'x: pod not found' })
      return await echo(options)
    }
    const { commands, evaluate } = runner({ exec })
    await evaluate()
    for (const pod of await here()) await kube.remove(`${path}/${pod.metadata.name}`, call)
    expect(await evaluate()).toMatchObject({ outcome: 'error' })
    expect(await evaluate()).toMatchObject({ outcome: 'passed' })
    await commands.close(signal)
    expect(await here()).toHaveLength(0)
  })

  it('that never run are an error with the reason, and are removed', async () => {
    const { commands, evaluate } = runner({ startMs: 300 }, { stuck: 'yes' })
    const seen = await evaluate()
    expect(seen).toMatchObject({ outcome: 'error', trouble: { code: 'CMD_PROBE_ERROR' } })
    expect(seen.detail).toMatch(/did not run within 300 ms \(Pending\); check its image/)
    await commands.close(signal)
    expect(await here()).toHaveLength(0)
  })

  it('need the right of the account, which an error names', async () => {
    const { commands, evaluate } = runner({ as: `system:serviceaccount:${namespace}:nobody` })
    const seen = await evaluate()
    expect(seen).toMatchObject({ outcome: 'error', trouble: { code: 'CMD_PROBE_ERROR' } })
    expect(seen.detail).toMatch(
      /:cmd-probe:nobody" cannot create resource "pods" .* in the namespace "cmd-probe"/,
    )
    await commands.close(signal)
  })

  it('tell that exec is not allowed without telling the command', async () => {
    const exec: Exec = async ({ command }) => {
      const message = `/api/v1/x?command=${command.join('+')}: Unexpected server response: 403`
      throw new KubeError({ status: 403, reason: 'Forbidden', message })
    }
    const { commands, evaluate } = runner({ exec, as: undefined })
    const { detail } = await evaluate()
    expect(detail).toBe(
      'The runner may not create pods/exec in namespace cmd-probe; grant it by a Role and bind it to that account.',
    )
    await commands.close(signal)
  })

  it('are not made any more after the end', async () => {
    const { commands, evaluate } = runner()
    await commands.close(signal)
    expect(await evaluate()).toMatchObject({ outcome: 'error' })
    expect(await here()).toHaveLength(0)
  })
})
