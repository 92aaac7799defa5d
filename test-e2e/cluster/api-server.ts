import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { binary } from './binaries.ts'
import type { Program } from './processes.ts'

/** Addresses and files of one etcd and one API server. */
export type ApiServerPlan = {
  folder: string
  pki: string
  /** where clients reach it */
  address: string
  bind: string
  apiPort: number
  etcdPort: number
  auditLog: string
  auditPolicy: string
  extraFlags: string[]
}

/** etcd for a throw-away cluster: in its own folder, on loopback, without fsync. */
export function etcdProgram(plan: ApiServerPlan): Program {
  const url = `http://127.0.0.1:${plan.etcdPort}`
  const peer = `http://127.0.0.1:${plan.etcdPort + 1}`
  return {
    command: binary('etcd'),
    args: [
      `--data-dir=${join(plan.folder, 'etcd')}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ],
    ready: async () => {
      const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(1_000) })
      return answer.ok && ((await answer.json()) as { health?: string }).health === 'true'
    },
  }
}

/** kube-apiserver with RBAC and an audit log of every request. */
export function apiServerProgram(plan: ApiServerPlan): Program {
  const pki = (file: string) => join(plan.pki, file)
  return {
    command: binary('kube-apiserver'),
    args: [
      `--etcd-servers=http://127.0.0.1:${plan.etcdPort}`,
      `--secure-port=${plan.apiPort}`,
      `--bind-address=${plan.bind}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${pki('sa.pub')}`,
      `--service-account-signing-key-file=${pki('sa.key')}`,
      `--client-ca-file=${pki('ca.crt')}`,
      `--tls-cert-file=${pki('apiserver.crt')}`,
      `--tls-private-key-file=${pki('apiserver.key')}`,
      '--authorization-mode=Node,RBAC',
      '--allow-privileged=true',
      `--audit-policy-file=${plan.auditPolicy}`,
      `--audit-log-path=${plan.auditLog}`,
      '--audit-log-format=json',
      ...plan.extraFlags,
    ],
    ready: () => apiServerIsReady(plan),
  }
}

/** The API server's own word that all its start-up hooks have run. */
export function apiServerIsReady(plan: ApiServerPlan): Promise<boolean> {
  const file = (name: string) => readFileSync(join(plan.pki, name))
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: plan.address,
        port: plan.apiPort,
        path: '/readyz',
        ca: file('ca.crt'),
        cert: file('admin.crt'),
        key: file('admin.key'),
        agent: false,
        timeout: 2_000,
      },
      (response) => {
        response.resume()
        resolve(response.statusCode === 200)
      },
    )
    call.on('timeout', () => call.destroy(new Error('no answer from /readyz within 2 s')))
    call.on('error', reject)
    call.end()
  })
}
