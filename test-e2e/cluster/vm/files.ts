import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serverOf } from '../local/control.ts'
import type { Layout } from '../local/layout.ts'
import { cniConfig, kubeletConfig, proxyConfig } from '../local/node-config.ts'
import { createCertificate, writeKubeconfig } from '../pki.ts'
import { run } from '../shell.ts'
import type { MachineLayout } from './layout.ts'

/** Programs of the guest, and where they go. */
const guest = {
  init: 'usr/sbin/init',
  door: 'usr/sbin/door',
  component: 'usr/sbin/component',
  'containerd.toml': 'etc/containerd/config.toml',
}

/** Only pods that tolerate it come to a machine by themselves. */
export const machineTaint = { key: 'chaosplane.test/machine', effect: 'NoSchedule' }

/** Writes all that makes this machine a node of this cluster into one archive, which is unpacked over its disk at each boot. */
export async function writeNodeArchive(layout: Layout, machine: MachineLayout): Promise<string> {
  const { name, address, folder, podRange } = machine
  const files = join(folder, 'files')
  const at = (path: string) => join(files, path)
  for (const part of ['etc/node', 'etc/cni/net.d', 'etc/containerd', 'usr/sbin'])
    await mkdir(at(part), { recursive: true })
  await createCertificate(layout.pki, {
    name,
    user: `system:node:${name}`,
    groups: ['system:nodes'],
    addresses: [address, name],
  })
  const write = (path: string, content: object | string) =>
    writeFile(at(path), typeof content === 'string' ? content : JSON.stringify(content, null, 2))
  const settings = kubeletSettings(layout)
  const proxy = { name, kubeconfig: '/etc/node/proxy.kubeconfig', podRange: layout.podRange }
  const programs = Object.entries(guest).map(([name, path]) =>
    copyFile(join(import.meta.dirname, 'guest', name), at(path)),
  )
  await Promise.all([
    ...programs,
    copyFile(join(layout.pki, 'ca.crt'), at('etc/node/ca.crt')),
    copyFile(join(layout.pki, `${name}.crt`), at('etc/node/node.crt')),
    copyFile(join(layout.pki, `${name}.key`), at('etc/node/node.key')),
    copyFile(join(layout.folder, 'proxy.kubeconfig'), at(proxy.kubeconfig)),
    writeKubeconfig(layout.pki, name, {
      server: serverOf(layout),
      file: at('etc/node/kubeconfig'),
    }),
    write('etc/node/env', environment(layout, machine)),
    write('etc/node/resolv.conf', 'nameserver 127.0.0.1\n'),
    write('etc/node/kubelet.json', settings),
    write('etc/node/proxy.json', proxyConfig(proxy)),
    write('etc/cni/net.d/10-pods.conflist', cniConfig(podRange, '/var/lib/cni/pods')),
  ])
  const archive = join(folder, 'node.tar')
  await run('tar', ['-C', files, '--owner=0', '--group=0', '-cf', archive, 'etc', 'usr'])
  return archive
}

function kubeletSettings(layout: Layout) {
  return {
    ...kubeletConfig({
      dnsAddress: layout.dnsAddress,
      socket: '/run/containerd/containerd.sock',
      ca: '/etc/node/ca.crt',
      certificate: '/etc/node/node.crt',
      key: '/etc/node/node.key',
      resolvConf: '/etc/node/resolv.conf',
    }),
    registerWithTaints: [machineTaint],
  }
}

function environment(layout: Layout, { name, address }: MachineLayout): string {
  const routes = layout.nodes.map((node) => `${node.podRange} ${node.address}`)
  const values = {
    NAME: name,
    ADDRESS: address,
    GATEWAY: layout.address,
    ROUTES: routes.join('\n'),
    LABELS: `chaosplane.test/slot=${layout.slot},chaosplane.test/machine=`,
  }
  return Object.entries(values)
    .map(([key, value]) => `${key}="${value}"\n`)
    .join('')
}
