import { join } from 'node:path'
import { binary } from '../binaries.ts'
import type { Cluster } from '../cluster.ts'
import { type Processes, processesIn, until } from '../processes.ts'
import { run } from '../shell.ts'
import { aboutOf, writeAbout } from './about.ts'
import {
  apiServerPlan,
  controlPrograms,
  prepareControl,
  serverOf,
  startControl,
} from './control.ts'
import { type Layout, layoutOf } from './layout.ts'
import { createBridge } from './network.ts'
import { importArchive, nodePrograms, startNode } from './node.ts'
import { giveBack, takeSlot } from './slot.ts'

/** What a local cluster is made with. */
export type LocalClusterOptions = {
  nodes: number
  /** docker archives to import on every node; docker.io/local/pause:1 must be in one of them */
  images: string[]
}

/** A real cluster out of processes on this machine: control plane on the host, nodes in network namespaces. */
export async function startLocalCluster(options: LocalClusterOptions): Promise<Cluster> {
  if (process.getuid?.() !== 0)
    throw new Error(
      'a local cluster needs root: use sudo, or name an existing cluster with --context',
    )
  const slot = await takeSlot()
  try {
    return await startIn(layoutOf(slot.folder, slot.number, options.nodes), options, () =>
      giveBack(slot),
    )
  } catch (e) {
    await giveBack(slot)
    throw e
  }
}

async function startIn(
  layout: Layout,
  options: LocalClusterOptions,
  down: () => Promise<void>,
): Promise<Cluster> {
  const processes = programsOf(layout)
  await Promise.all([createBridge(layout), prepareControl(layout)])
  const ready = startControl(layout, processes)
  await Promise.all([
    ready,
    ...layout.nodes.map((node) =>
      startNode(layout, node, {
        processes,
        images: options.images,
        server: serverOf(layout),
        ready,
      }),
    ),
  ])
  await nodesReady(layout)
  const id = await clusterId(layout)
  await writeAbout(layout.folder, { slot: layout.slot, nodes: options.nodes, id })
  return describe(layout, processes, down)
}

/** The layout of a cluster that runs in `folder`. */
export function layoutIn(folder: string): Layout {
  const about = aboutOf(folder)
  if (!about) throw new Error(`no cluster runs in ${folder}`)
  return layoutOf(folder, about.slot, about.nodes)
}

/** The same cluster for another process of its owner, which alone can take it down. */
export function attachLocalCluster(folder: string): Cluster {
  const layout = layoutIn(folder)
  return describe(layout, programsOf(layout), async () => {
    throw new Error(`the cluster in ${folder} is taken down by the process that made it`)
  })
}

function describe(layout: Layout, processes: Processes, down: () => Promise<void>): Cluster {
  return {
    provider: 'local',
    kubeconfig: kubeconfigOf(layout),
    apiUrl: serverOf(layout),
    nodes: layout.nodes.map((n) => n.name),
    auditLog: apiServerPlan(layout).auditLog,
    logs: `${layout.folder}/logs`,
    importImage: async (archive) => {
      await Promise.all(layout.nodes.map((node) => importArchive(node, archive)))
    },
    kill: (component) => processes.kill(component),
    stop: (component) => processes.stop(component),
    start: (component) => processes.start(component),
    restart: (component) => processes.restart(component),
    pause: async (component) => processes.pause(component),
    resume: async (component) => processes.resume(component),
    down,
  }
}

function programsOf(layout: Layout): Processes {
  const processes = processesIn(layout.folder)
  const ofNodes = layout.nodes.map((node) => nodePrograms(layout, node))
  for (const programs of [controlPrograms(layout), ...ofNodes])
    for (const [name, program] of Object.entries(programs)) processes.add(name, program)
  return processes
}

const kubeconfigOf = (layout: Layout): string => join(layout.folder, 'admin.kubeconfig')

const clusterId = (layout: Layout): Promise<string> =>
  run(binary('kubectl'), [
    `--kubeconfig=${kubeconfigOf(layout)}`,
    ...['get', 'namespace', 'kube-system', '-o', 'jsonpath={.metadata.uid}'],
  ])

async function nodesReady(layout: Layout): Promise<void> {
  const query = ['get', 'nodes', '-o', 'json']
  await until(`all ${layout.nodes.length} nodes are Ready`, 90_000, async () => {
    const list = JSON.parse(
      await run(binary('kubectl'), [`--kubeconfig=${kubeconfigOf(layout)}`, ...query]),
    ) as { items: { status: { conditions?: { type: string; status: string }[] } }[] }
    const ready = list.items.filter((n) =>
      n.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
    )
    return ready.length === layout.nodes.length
  })
}
