import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { readAudit } from './audit.ts'
import { binary } from './binaries.ts'
import { type ControlPlane, startControlPlane } from './control-plane.ts'
import { run } from './shell.ts'

let plane: ControlPlane

beforeAll(async () => {
  plane = await startControlPlane()
})

afterAll(() => plane.down())

/** One test that fails between a kill and a start must not fail all that follow. */
beforeEach(async () => {
  for (const part of ['etcd', 'kube-apiserver'] as const)
    if (!plane.runs(part)) await plane.start(part)
})

const kubectl = (kubeconfig: string, ...args: string[]) =>
  run(binary('kubectl'), [`--kubeconfig=${kubeconfig}`, '--request-timeout=10s', ...args])

it('keeps what was written through a killed etcd and a killed API server', async () => {
  await kubectl(plane.kubeconfig, 'create', 'configmap', 'kept', '--from-literal=a=b')
  await plane.kill('kube-apiserver')
  await expect(kubectl(plane.kubeconfig, 'get', 'configmap', 'kept')).rejects.toThrow(/refused/)
  await plane.restart('etcd')
  await plane.start('kube-apiserver')
  expect(await kubectl(plane.kubeconfig, 'get', 'cm', 'kept', '-o', 'jsonpath={.data.a}')).toBe('b')
})

it('holds a user to the rights that RBAC gives', async () => {
  const guest = await plane.kubeconfigFor('guest')
  await expect(kubectl(guest, 'get', 'configmaps')).rejects.toThrow(/"guest" cannot list/)
})

it('answers 410 to a list that goes on after a compaction', async () => {
  for (const name of ['one', 'two', 'three'])
    await kubectl(plane.kubeconfig, 'create', 'configmap', name)
  const path = '/api/v1/namespaces/default/configmaps?limit=1'
  const first = JSON.parse(await kubectl(plane.kubeconfig, 'get', '--raw', path)) as {
    metadata: { continue: string }
  }
  await kubectl(plane.kubeconfig, 'create', 'configmap', 'four')
  expect(await plane.compact()).toBeGreaterThan(0)
  // it could still answer from the copy in its memory
  await plane.restart('kube-apiserver')
  const next = `${path}&continue=${encodeURIComponent(first.metadata.continue)}`
  await expect(kubectl(plane.kubeconfig, 'get', '--raw', next)).rejects.toThrow(/too old|expired/)
})

it('writes every request to the audit log with user and verb', async () => {
  const guest = await plane.kubeconfigFor('auditor')
  await expect(kubectl(guest, 'get', 'secrets')).rejects.toThrow()
  const events = await readAudit(plane.auditLog)
  const mine = events.filter((e) => e.user.username === 'auditor')
  expect(mine.map((e) => [e.verb, e.objectRef?.resource, e.responseStatus?.code])).toContainEqual([
    'list',
    'secrets',
    403,
  ])
})

it('answers nothing while paused and everything afterwards', async () => {
  plane.pause('kube-apiserver')
  const waiting = kubectl(plane.kubeconfig, 'get', '--raw', '/version')
  const first = await Promise.race([waiting, new Promise((r) => setTimeout(r, 500, 'silence'))])
  plane.resume('kube-apiserver')
  expect(first).toBe('silence')
  expect(await waiting).toContain('v1.36')
})

it('is ended by the next start when its owner was killed', async () => {
  const module = join(import.meta.dirname, 'control-plane.ts')
  const code = `import { startControlPlane } from ${JSON.stringify(module)}
    console.log((await startControlPlane()).folder)
    setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [folder = ''] = await Promise.race([
    once(owner.stdout),
    new Promise<string[]>((_, reject) =>
      owner.once('exit', () => reject(new Error('owner ended'))),
    ),
  ])
  const { pid } = JSON.parse(readFileSync(join(folder, 'pids/etcd'), 'utf8')) as { pid: number }
  const gone = new Promise((resolve) => owner.once('exit', resolve))
  owner.kill('SIGKILL')
  await gone
  expect(commandOf(pid)).toContain(folder)
  const next = await startControlPlane()
  try {
    expect(dirname(next.folder)).toBe(dirname(folder))
    expect(existsSync(folder)).toBe(false)
    expect(commandOf(pid)).not.toContain(folder)
  } finally {
    await next.down()
  }
})

async function once(stream: NodeJS.ReadableStream): Promise<string[]> {
  for await (const line of createInterface({ input: stream })) return [line]
  return []
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
