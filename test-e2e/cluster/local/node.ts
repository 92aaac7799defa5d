import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { binary } from '../binaries.ts'
import { createCertificate, writeKubeconfig } from '../pki.ts'
import type { Processes, Program } from '../processes.ts'
import { run, succeeds } from '../shell.ts'
import { cgroupVersion, createNodeCgroup } from './cgroups.ts'
import type { Layout, NodeLayout } from './layout.ts'
import { createNodeNetwork } from './network.ts'
import { cniConfig, kubeletConfig, proxyConfig } from './node-config.ts'

/** Where kubelet answers the API server. */
const kubeletPort = 10250

/** The programs of one node by name. */
export function nodePrograms(layout: Layout, node: NodeLayout): Record<string, Program> {
  return {
    [`containerd:${node.name}`]: containerd(node),
    [`kubelet:${node.name}`]: kubelet(layout, node),
    [`kube-proxy:${node.name}`]: kubeProxy(node),
  }
}

/** Brings up one node: network, containerd with images, then kubelet and kube-proxy. */
export async function startNode(
  layout: Layout,
  node: NodeLayout,
  control: { processes: Processes; images: string[]; server: string; ready: Promise<void> },
): Promise<void> {
  const { processes } = control
  await prepareNode(layout, node, control.server)
  await processes.start(`containerd:${node.name}`)
  for (const archive of control.images) await importArchive(node, archive)
  await control.ready
  await Promise.all([
    processes.start(`kubelet:${node.name}`),
    processes.start(`kube-proxy:${node.name}`),
  ])
}

/** Makes the images of an archive known to the node's containerd. */
export async function importArchive(node: NodeLayout, archive: string): Promise<void> {
  await run('ctr', ['-a', node.socket, '-n', 'k8s.io', 'images', 'import', archive])
}

async function prepareNode(layout: Layout, node: NodeLayout, server: string): Promise<void> {
  for (const folder of ['cni', 'kubelet', 'volume-plugins', 'pod-logs'])
    await mkdir(join(node.folder, folder), { recursive: true })
  const write = (file: string, content: unknown) =>
    writeFile(
      join(node.folder, file),
      typeof content === 'string' ? content : JSON.stringify(content, null, 2),
    )
  const kubeconfig = join(layout.folder, 'proxy.kubeconfig')
  await Promise.all([
    createNodeNetwork(layout, node),
    createNodeCgroup(node.name),
    createCertificate(layout.pki, {
      name: node.name,
      user: `system:node:${node.name}`,
      groups: ['system:nodes'],
      addresses: [node.address, node.name],
    }),
    write('cni/10-pods.conflist', cniConfig(node.podRange, join(node.folder, 'ipam'))),
    write('containerd.toml', containerdConfig(node)),
    write('resolv.conf', 'nameserver 127.0.0.1\n'),
    write('kubelet.json', kubeletSettings(layout, node)),
    write('proxy.json', proxyConfig({ ...node, kubeconfig, podRange: layout.podRange })),
  ])
  await writeKubeconfig(layout.pki, node.name, { server, file: join(node.folder, 'kubeconfig') })
}

/** A program in the node's network namespace. */
function inNode(node: NodeLayout, command: string, args: string[]): Program {
  // nsenter and not "ip netns exec": the latter mounts /sys anew and hides the cgroup trees.
  return { command: 'nsenter', args: [`--net=/run/netns/${node.name}`, command, ...args] }
}

function containerd(node: NodeLayout): Program {
  return {
    ...inNode(node, 'containerd', ['--config', join(node.folder, 'containerd.toml')]),
    ready: () => succeeds('ctr', ['-a', node.socket, 'version']),
  }
}

function kubelet(layout: Layout, node: NodeLayout): Program {
  const program = inNode(node, binary('kubelet'), [
    `--kubeconfig=${join(node.folder, 'kubeconfig')}`,
    `--config=${join(node.folder, 'kubelet.json')}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${node.address}`,
    `--root-dir=${join(node.folder, 'kubelet')}`,
    `--node-labels=chaosplane.test/slot=${layout.slot}`,
    '--v=2',
  ])
  return { ...program, ready: () => listens(node.address, kubeletPort) }
}

/** Whether somebody takes connections there. */
const listens = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 })
    const say = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('connect', () => say(true))
    socket.once('timeout', () => say(false))
    socket.once('error', () => say(false))
  })

function kubeProxy(node: NodeLayout): Program {
  return inNode(node, binary('kube-proxy'), [`--config=${join(node.folder, 'proxy.json')}`])
}

function containerdConfig(node: NodeLayout): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"'
  return `version = 2
root = "${join(node.folder, 'containerd')}"
state = "${join(node.folder, 'containerd-state')}"
[grpc]
  address = "${node.socket}"
[${cri}]
  sandbox_image = "docker.io/local/pause:1"
  # lowering it needs a capability that containers of a build machine often lack
  restrict_oom_score_adj = true
  # below the cluster's own folder, so that what a killed containerd leaves is found
  netns_mounts_under_state_dir = true
  [${cri}.cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(node.folder, 'cni')}"
  [${cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [${cri}.containerd.runtimes.runc.options]
      SystemdCgroup = false
`
}

function kubeletSettings(layout: Layout, node: NodeLayout) {
  const inFolder = (name: string) => join(node.folder, name)
  return {
    ...kubeletConfig({
      dnsAddress: layout.dnsAddress,
      socket: node.socket,
      ca: join(layout.pki, 'ca.crt'),
      certificate: join(layout.pki, `${node.name}.crt`),
      key: join(layout.pki, `${node.name}.key`),
      resolvConf: inFolder('resolv.conf'),
    }),
    failCgroupV1: cgroupVersion() === 2,
    cgroupRoot: `/${node.name}`,
    cgroupsPerQOS: true,
    enforceNodeAllocatable: [],
    oomScoreAdj: 0,
    localStorageCapacityIsolation: false,
    volumePluginDir: inFolder('volume-plugins'),
    podLogsDir: inFolder('pod-logs'),
  }
}
