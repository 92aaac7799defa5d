import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cluster, Component } from './cluster.ts'
import { nodeNames } from './context.ts'
import { run, succeeds } from './shell.ts'

/** Whether docker answers and kind is installed. */
export async function kindIsHere(): Promise<boolean> {
  const format = ['--format', '{{.Server.Version}}']
  return (await succeeds('docker', ['version', ...format])) && (await succeeds('kind', ['version']))
}

/** A cluster in docker containers. Its audit log stays inside the container and is not offered. */
export async function startKindCluster(options: { nodes: number }): Promise<Cluster> {
  const name = `chaosplane-${randomBytes(4).toString('hex')}`
  const folder = await mkdtemp(join(tmpdir(), `${name}-`))
  const kubeconfig = join(folder, 'kubeconfig')
  const config = join(folder, 'kind.json')
  const down = async () => {
    await run('kind', ['delete', 'cluster', '--name', name, '--kubeconfig', kubeconfig], {
      timeoutMs: 120_000,
    })
    await rm(folder, { recursive: true, force: true })
  }
  // One node runs the workload itself; with two, the control plane is one of them.
  const workers = Array.from({ length: options.nodes - 1 }, () => ({ role: 'worker' }))
  await writeFile(
    config,
    JSON.stringify({
      kind: 'Cluster',
      apiVersion: 'kind.x-k8s.io/v1alpha4',
      nodes: [{ role: 'control-plane' }, ...workers],
    }),
  )
  const create = ['create', 'cluster', '--name', name, '--config', config, '--wait', '180s']
  try {
    await run('kind', [...create, '--kubeconfig', kubeconfig], { timeoutMs: 600_000 })
    const nodes = await nodeNames('kubectl', kubeconfig)
    await allowPodsEverywhere(kubeconfig, nodes)
    return await describe({ name, kubeconfig, nodes, down })
  } catch (e) {
    await down()
    throw e
  }
}

async function describe(kind: {
  name: string
  kubeconfig: string
  nodes: string[]
  down: () => Promise<void>
}): Promise<Cluster> {
  const view = ['config', 'view', '-o', 'jsonpath={.clusters[0].cluster.server}']
  const apiUrl = await run('kubectl', [`--kubeconfig=${kind.kubeconfig}`, ...view])
  const controlPlane = `${kind.name}-control-plane`
  const inside = (component: Component, command: string) => {
    const [program = '', node = controlPlane] = component.split(':')
    return run('docker', ['exec', node, 'sh', '-c', `${command} ${program}`])
  }
  // systemd restarts kubelet and containerd, kubelet restarts the rest: they cannot be kept down by a signal.
  const verbs = {
    kill: async (c: Component) => void (await inside(c, 'pkill -KILL -x')),
    restart: async (c: Component) => void (await inside(c, 'pkill -KILL -x')),
    pause: async (c: Component) => void (await inside(c, 'pkill -STOP -x')),
    resume: async (c: Component) => void (await inside(c, 'pkill -CONT -x')),
    stop: async (c: Component) => void (await inside(onlyService(c), 'systemctl stop')),
    start: async (c: Component) => void (await inside(onlyService(c), 'systemctl start')),
  }
  return {
    provider: 'kind',
    kubeconfig: kind.kubeconfig,
    apiUrl,
    nodes: kind.nodes,
    importImage: async (archive) => {
      const args = ['load', 'image-archive', archive, '--name', kind.name]
      await run('kind', args, { timeoutMs: 300_000 })
    },
    ...verbs,
    down: kind.down,
  }
}

function onlyService(component: Component): Component {
  if (/^(kubelet|containerd):/.test(component)) return component
  throw new Error(
    `kind keeps ${component} running; only kubelet:<node> and containerd:<node> can be stopped there`,
  )
}

async function allowPodsEverywhere(kubeconfig: string, nodes: string[]): Promise<void> {
  // kind itself takes the taint away only where the control plane is the only node.
  if (nodes.length === 1) return
  const taint = 'node-role.kubernetes.io/control-plane-'
  await run('kubectl', [`--kubeconfig=${kubeconfig}`, 'taint', 'nodes', '--all', taint]).catch(
    (e: unknown) => {
      if (!String(e).includes('not found')) throw e
    },
  )
}
