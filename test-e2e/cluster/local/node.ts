import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../binaries.ts'
import { createCertificate, writeKubeconfig } from '../pki.ts'
import type { Processes, Program } from '../processes.ts'
import { run, succeeds } from '../shell.ts'
import { cgroupVersion, createNodeCgroup } from './cgroups.ts'
import type { Layout, NodeLayout } from './layout.ts'
import { createNodeNetwork } from './network.ts'

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
  await Promise.all([
    createNodeNetwork(layout, node),
    createNodeCgroup(node.name),
    createCertificate(layout.pki, {
      name: node.name,
      user: `system:node:${node.name}`,
      groups: ['system:nodes'],
      addresses: [node.address, node.name],
    }),
    write('cni/10-pods.conflist', cniConfig(node)),
    write('containerd.toml', containerdConfig(node)),
    write('resolv.conf', 'nameserver 127.0.0.1\n'),
    write('kubelet.json', kubeletConfig(layout, node)),
    write('proxy.json', proxyConfig(layout, node)),
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
  return inNode(node, binary('kubelet'), [
    `--kubeconfig=${join(node.folder, 'kubeconfig')}`,
    `--config=${join(node.folder, 'kubelet.json')}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${node.address}`,
    `--root-dir=${join(node.folder, 'kubelet')}`,
    `--node-labels=chaosplane.test/slot=${layout.slot}`,
    '--v=2',
  ])
}

function kubeProxy(node: NodeLayout): Program {
  return inNode(node, binary('kube-proxy'), [`--config=${join(node.folder, 'proxy.json')}`])
}

function cniConfig(node: NodeLayout) {
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(node.folder, 'ipam'),
          ranges: [[{ subnet: node.podRange }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  }
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
  [${cri}.cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(node.folder, 'cni')}"
  [${cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [${cri}.containerd.runtimes.runc.options]
      SystemdCgroup = false
`
}

function kubeletConfig(layout: Layout, node: NodeLayout) {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: cgroupVersion() === 2,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${node.name}`,
    cgroupsPerQOS: true,
    enforceNodeAllocatable: [],
    oomScoreAdj: 0,
    failSwapOn: false,
    localStorageCapacityIsolation: false,
    containerRuntimeEndpoint: `unix://${node.socket}`,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(layout.pki, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: join(layout.pki, `${node.name}.crt`),
    tlsPrivateKeyFile: join(layout.pki, `${node.name}.key`),
    resolvConf: join(node.folder, 'resolv.conf'),
    clusterDNS: [layout.dnsAddress],
    clusterDomain: 'cluster.local',
    // The disk belongs to the machine's owner: no test may start to evict because it is nearly full.
    evictionHard: {
      'memory.available': '1Mi',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
    },
    imageGCHighThresholdPercent: 100,
    volumePluginDir: join(node.folder, 'volume-plugins'),
    podLogsDir: join(node.folder, 'pod-logs'),
    syncFrequency: '10s',
    serializeImagePulls: false,
    registryPullQPS: 0,
    eventRecordQPS: 0,
    kubeAPIQPS: 200,
    kubeAPIBurst: 400,
  }
}

function proxyConfig(layout: Layout, node: NodeLayout) {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clientConnection: { kubeconfig: join(layout.folder, 'proxy.kubeconfig') },
    clusterCIDR: layout.podRange,
    hostnameOverride: node.name,
    conntrack: { maxPerCore: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    metricsBindAddress: '127.0.0.1:10249',
    healthzBindAddress: '127.0.0.1:10256',
  }
}
