import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { configOf, installRights } from '../config/testing/account.ts'
import { systemClock, systemMonotonic } from '../lib/clock.ts'
import { createKubeClient, type KubeClient } from '../lib/kube/client.ts'
import { loadKubeConfig } from '../lib/kube/config.ts'
import { leases, namespaces, resourcePath } from '../lib/kube/paths.ts'
import type { KubeObject } from '../lib/kube/types.ts'

const namespace = 'operator-processes'
const call = { signal: AbortSignal.timeout(120_000) }
const entry = fileURLToPath(new URL('main.ts', import.meta.url))
const children = new Set<ChildProcess>()
let tests: KubeClient
let folder: string
let kubeconfig: string

beforeAll(async () => {
  const admin = inject('apiKubeconfig')
  tests = createKubeClient({
    config: loadKubeConfig({ file: admin, env: {} }),
    userAgent: 'tests/1',
  })
  await tests.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
  await installRights(admin, namespace)
  const name = 'chaosplane-operator'
  const config = await configOf({ kubeconfig: admin, admin: tests, namespace, name })
  folder = await mkdtemp(join(tmpdir(), 'chaosplane-operator-'))
  kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, config.exportConfig())
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
  await tests?.close()
})

function start(pod: string, args: string[] = [], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [entry, ...args], {
    env: {
      PATH: process.env['PATH'] ?? '',
      POD_NAME: pod,
      POD_NAMESPACE: namespace,
      IMAGE: 'chaosplane:test',
      KUBECONFIG: kubeconfig,
      HEALTH_PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.add(child)
  return child
}

async function output(child: ChildProcess): Promise<{ code: number | null; text: string }> {
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, text }
}

type Lease = KubeObject & { spec?: { holderIdentity?: string } }
const leader = async () => {
  const path = resourcePath({ ...leases, namespace, name: 'chaosplane-operator' })
  const lease = await tests.find<Lease>(path, call)
  return lease?.spec?.holderIdentity?.split('/')[0]
}
async function untilLeader(pod: string): Promise<void> {
  const limit = systemMonotonic() + 20_000
  while ((await leader()) !== pod) {
    if (systemMonotonic() > limit) throw new Error(`${pod} never led`)
    await systemClock.sleep(20, call.signal)
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** A replica that stands by is ready too: its caches are full. */
async function untilReady(port: number): Promise<void> {
  const limit = systemMonotonic() + 20_000
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      (response) => response.ok,
      () => false,
    )
  while (!(await isReady())) {
    if (systemMonotonic() > limit) throw new Error('the replica was never ready')
    await systemClock.sleep(20, call.signal)
  }
}

describe('the operator as a process', () => {
  it('leads, stands by, takes over from a killed leader, and hands over on SIGTERM', async () => {
    const first = start('first')
    await untilLeader('first')
    const port = await freePort()
    const second = start('second', [], { HEALTH_PORT: String(port) })
    const said = output(second)
    await untilReady(port)
    first.kill('SIGKILL')
    await untilLeader('second')
    const third = start('third')
    await systemClock.sleep(1_500, call.signal)
    expect(await leader()).toBe('second')
    second.kill('SIGTERM')
    expect((await said).code).toBe(0)
    await untilLeader('third')
    const ended = output(third)
    third.kill('SIGTERM')
    expect((await ended).code).toBe(0)
    expect(await leader()).toBe('')
  })

  it('drains and ends with success when nothing is active', async () => {
    const { code, text } = await output(start('drain', ['drain'], { DRAIN_TIMEOUT_SECONDS: '5' }))
    expect(text).toContain('no experiment is active')
    expect(code).toBe(0)
  })

  it('refuses what it does not know', async () => {
    const child = start('wrong', ['drian'])
    expect((await output(child)).code).toBe(1)
  })
})
