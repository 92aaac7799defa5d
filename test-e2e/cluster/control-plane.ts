import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type ApiServerPlan, apiServerProgram, etcdProgram } from './api-server.ts'
import { writeAuditPolicy } from './audit.ts'
import { tryLock } from './lock.ts'
import { createAuthority, createCertificate, writeKubeconfig } from './pki.ts'
import { processesIn } from './processes.ts'
import { newRunFolder, removeRunFolder } from './run-folder.ts'

/** The two programs that a control plane for tests is made of. */
export type ControlPlanePart = 'etcd' | 'kube-apiserver'

/** etcd and kube-apiserver of a test's own, on ports that stay the same through every restart. */
export type ControlPlane = {
  /** path of the administrator's kubeconfig */
  kubeconfig: string
  apiUrl: string
  etcdUrl: string
  /** JSON lines; read with readAudit */
  auditLog: string
  folder: string
  /** Writes a kubeconfig for another user; returns its path. RBAC applies to it. */
  kubeconfigFor(user: string, groups?: string[]): Promise<string>
  runs(part: ControlPlanePart): boolean
  /** SIGKILL */
  kill(part: ControlPlanePart): Promise<void>
  /** SIGTERM; the API server takes up to some seconds to go */
  stop(part: ControlPlanePart): Promise<void>
  /** Starts a stopped or killed part and waits until it is ready. */
  start(part: ControlPlanePart): Promise<void>
  restart(part: ControlPlanePart): Promise<void>
  /** SIGSTOP: connections stay open and nothing is answered. */
  pause(part: ControlPlanePart): void
  resume(part: ControlPlanePart): void
  /**
   * Compacts etcd at its newest revision and returns that. Older versions answer 410 as soon as the API server has
   * no copy of them either: at the latest after its restart.
   */
  compact(): Promise<number>
  down(): Promise<void>
}

/** Starts etcd and kube-apiserver (about a second). `flags` are added to the API server's. */
export async function startControlPlane(options: { flags?: string[] } = {}): Promise<ControlPlane> {
  const run = await newRunFolder('api')
  try {
    return await startIn(run.path, options.flags ?? [], () => removeRunFolder(run))
  } catch (e) {
    await removeRunFolder(run)
    throw e
  }
}

async function startIn(
  folder: string,
  flags: string[],
  down: () => Promise<void>,
): Promise<ControlPlane> {
  const plan = await planIn(folder, flags)
  const apiUrl = `https://127.0.0.1:${plan.apiPort}`
  const processes = processesIn(folder)
  processes.add('etcd', etcdProgram(plan))
  processes.add('kube-apiserver', apiServerProgram(plan))
  await Promise.all([preparePki(plan), processes.start('etcd')])
  await processes.start('kube-apiserver')
  const kubeconfigOf = (name: string) =>
    writeKubeconfig(plan.pki, name, {
      server: apiUrl,
      file: join(folder, `${name.replaceAll(/[^\w-]/g, '-')}.kubeconfig`),
    })
  return {
    kubeconfig: await kubeconfigOf('admin'),
    apiUrl,
    etcdUrl: `http://127.0.0.1:${plan.etcdPort}`,
    auditLog: plan.auditLog,
    folder,
    kubeconfigFor: async (user, groups = []) => {
      const name = user.replaceAll(/[^\w-]/g, '-')
      await createCertificate(plan.pki, { name, user, groups })
      return await kubeconfigOf(name)
    },
    runs: (part) => processes.runs(part),
    kill: (part) => processes.kill(part),
    stop: (part) => processes.stop(part),
    start: (part) => processes.start(part),
    restart: (part) => processes.restart(part),
    pause: (part) => processes.pause(part),
    resume: (part) => processes.resume(part),
    compact: () => compact(`http://127.0.0.1:${plan.etcdPort}`),
    down,
  }
}

async function planIn(folder: string, flags: string[]): Promise<ApiServerPlan> {
  const etcdPort = await freePorts(2)
  const apiPort = await freePorts(1)
  return {
    folder,
    pki: join(folder, 'pki'),
    address: '127.0.0.1',
    bind: '127.0.0.1',
    etcdPort,
    apiPort,
    auditLog: join(folder, 'audit.log'),
    auditPolicy: join(folder, 'audit-policy.json'),
    // A documentation address: nobody connects to it, and the machine may have no other one than loopback.
    extraFlags: [
      '--advertise-address=192.0.2.1',
      '--endpoint-reconciler-type=none',
      '--disable-admission-plugins=ServiceAccount',
      ...flags,
    ],
  }
}

async function preparePki(plan: ApiServerPlan): Promise<void> {
  await mkdir(plan.pki)
  await writeAuditPolicy(plan.auditPolicy)
  await createAuthority(plan.pki)
  await Promise.all([
    createCertificate(plan.pki, {
      name: 'apiserver',
      user: 'kube-apiserver',
      addresses: ['127.0.0.1', '10.96.0.1', 'localhost', 'kubernetes.default.svc'],
    }),
    createCertificate(plan.pki, { name: 'admin', user: 'admin', groups: ['system:masters'] }),
  ])
}

async function compact(etcdUrl: string): Promise<number> {
  const post = async (path: string, body: unknown) => {
    const answer = await fetch(`${etcdUrl}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    })
    return { status: answer.status, text: await answer.text() }
  }
  const range = await post('/v3/kv/range', { key: Buffer.from('/').toString('base64') })
  if (range.status !== 200) throw new Error(`etcd range: ${range.status} ${range.text}`)
  const { header } = JSON.parse(range.text) as { header: { revision: string } }
  const { status, text } = await post('/v3/kv/compaction', {
    revision: header.revision,
    physical: true,
  })
  // nothing was written since the last time
  const isCompacted = text.includes('required revision has been compacted')
  if (status !== 200 && !isCompacted) throw new Error(`etcd compaction: ${status} ${text}`)
  return Number(header.revision)
}

/**
 * The first of `count` neighbouring free ports, below the range that outgoing connections use. They are ours until
 * this process ends: a port whose program is killed for a moment is not given to another test.
 */
async function freePorts(count: number): Promise<number> {
  for (let i = 0; i < 200; i++) {
    const first = 20_000 + Math.floor(Math.random() * 9_000)
    const wanted = Array.from({ length: count }, (_, n) => first + n)
    const locks = await Promise.all(wanted.map((port) => tryLock(`port-${port}`)))
    if (locks.every(Boolean) && (await Promise.all(wanted.map(isFree))).every(Boolean)) return first
    await Promise.all(locks.map((lock) => lock?.release()))
  }
  throw new Error('no free port between 20000 and 29000')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
