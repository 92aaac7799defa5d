import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ApiServerPlan, apiServerProgram, etcdProgram } from '../api-server.ts'
import { writeAuditPolicy } from '../audit.ts'
import { binary } from '../binaries.ts'
import { createAuthority, createCertificate, writeKubeconfig } from '../pki.ts'
import type { Processes, Program } from '../processes.ts'
import { run } from '../shell.ts'
import type { Layout } from './layout.ts'

/** Where the cluster's API server is reached. */
export function serverOf(layout: Layout): string {
  return `https://${layout.address}:${layout.apiPort}`
}

/** Certificates and kubeconfigs of the control plane. */
export async function prepareControl(layout: Layout): Promise<void> {
  await mkdir(layout.pki)
  await createAuthority(layout.pki)
  const certificate = (name: string, user: string, groups: string[] = []) =>
    createCertificate(layout.pki, { name, user, groups })
  await Promise.all([
    writeAuditPolicy(apiServerPlan(layout).auditPolicy),
    createCertificate(layout.pki, {
      name: 'apiserver',
      user: 'kube-apiserver',
      addresses: [
        ...[layout.address, '127.0.0.1', '10.96.0.1', 'localhost', 'kubernetes'],
        ...['kubernetes.default', 'kubernetes.default.svc'],
      ],
    }),
    certificate('apiserver-kubelet', 'kube-apiserver-kubelet-client', ['system:masters']),
    certificate('admin', 'admin', ['system:masters']),
    certificate('controller-manager', 'system:kube-controller-manager'),
    certificate('scheduler', 'system:kube-scheduler'),
    certificate('proxy', 'system:kube-proxy'),
  ])
  for (const name of ['admin', 'controller-manager', 'scheduler', 'proxy'])
    await writeKubeconfig(layout.pki, name, {
      server: serverOf(layout),
      file: join(layout.folder, `${name}.kubeconfig`),
    })
}

/** The programs of the control plane by name. */
export function controlPrograms(layout: Layout): Record<string, Program> {
  const plan = apiServerPlan(layout)
  return {
    etcd: etcdProgram(plan),
    'kube-apiserver': apiServerProgram(plan),
    'kube-controller-manager': controllerManager(layout),
    'kube-scheduler': scheduler(layout),
    coredns: { command: binary('coredns'), args: ['-conf', corefileOf(layout)] },
  }
}

/** Starts etcd, the API server, then what works through it; resolves when the API answers. */
export async function startControl(layout: Layout, processes: Processes): Promise<void> {
  await processes.start('etcd')
  await processes.start('kube-apiserver')
  await Promise.all([
    processes.start('kube-controller-manager'),
    processes.start('kube-scheduler'),
    startDns(layout, processes),
  ])
}

/** Flags and files of the API server, also for whoever reads its audit log. */
export function apiServerPlan(layout: Layout): ApiServerPlan {
  const { folder, pki } = layout
  return {
    folder,
    pki,
    address: layout.address,
    bind: '0.0.0.0',
    apiPort: layout.apiPort,
    etcdPort: layout.etcdPort,
    auditLog: join(folder, 'audit.log'),
    auditPolicy: join(folder, 'audit-policy.json'),
    extraFlags: [
      `--advertise-address=${layout.address}`,
      `--kubelet-client-certificate=${join(pki, 'apiserver-kubelet.crt')}`,
      `--kubelet-client-key=${join(pki, 'apiserver-kubelet.key')}`,
      `--kubelet-certificate-authority=${join(pki, 'ca.crt')}`,
      '--enable-admission-plugins=NodeRestriction',
      '--kubelet-preferred-address-types=InternalIP',
    ],
  }
}

function controllerManager(layout: Layout): Program {
  const pki = (file: string) => join(layout.pki, file)
  return {
    command: binary('kube-controller-manager'),
    args: [
      ...credentials(layout, 'controller-manager'),
      '--use-service-account-credentials',
      `--service-account-private-key-file=${pki('sa.key')}`,
      `--root-ca-file=${pki('ca.crt')}`,
      `--cluster-signing-cert-file=${pki('ca.crt')}`,
      `--cluster-signing-key-file=${pki('ca.key')}`,
      '--leader-elect=false',
      '--bind-address=127.0.0.1',
      `--secure-port=${layout.controllerManagerPort}`,
      '--allocate-node-cidrs',
      `--cluster-cidr=${layout.podRange}`,
      '--node-monitor-grace-period=20s',
    ],
  }
}

function scheduler(layout: Layout): Program {
  return {
    command: binary('kube-scheduler'),
    args: [
      ...credentials(layout, 'scheduler'),
      '--leader-elect=false',
      '--bind-address=127.0.0.1',
      `--secure-port=${layout.schedulerPort}`,
    ],
  }
}

function credentials(layout: Layout, name: string): string[] {
  const file = join(layout.folder, `${name}.kubeconfig`)
  return ['', 'authentication-', 'authorization-'].map((which) => `--${which}kubeconfig=${file}`)
}

/** CoreDNS on the host, behind the address that pods are told. */
async function startDns(layout: Layout, processes: Processes): Promise<void> {
  const kubeconfig = join(layout.folder, 'admin.kubeconfig')
  await writeFile(
    corefileOf(layout),
    `.:53 {
  bind ${layout.address}
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${kubeconfig}
    ttl 5
  }
  cache 5
  errors
}
`,
  )
  await processes.start('coredns')
  await run(binary('kubectl'), [`--kubeconfig=${kubeconfig}`, 'apply', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: dnsObjects(layout) }),
  })
}

function corefileOf(layout: Layout): string {
  return join(layout.folder, 'Corefile')
}

function dnsObjects(layout: Layout) {
  const ports = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'dns-tcp', port: 53, protocol: 'TCP' },
  ]
  const namespace = 'kube-system'
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace },
      spec: { clusterIP: layout.dnsAddress, ports },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'kube-dns-host',
        namespace,
        labels: { 'kubernetes.io/service-name': 'kube-dns' },
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: [layout.address] }],
      ports,
    },
  ]
}
