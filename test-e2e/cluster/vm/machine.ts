import { createReadStream, existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { binary } from '../binaries.ts'
import type { Cluster } from '../cluster.ts'
import { layoutIn } from '../local/cluster.ts'
import type { Layout } from '../local/layout.ts'
import { type Processes, processesIn, until } from '../processes.ts'
import { run, type Say } from '../shell.ts'
import { type Asked, ask, type Following, follow } from './door.ts'
import { writeNodeArchive } from './files.ts'
import { machineImage } from './image.ts'
import { imageStore } from './image-store.ts'
import { type MachineLayout, machineLayout } from './layout.ts'
import { createDisks, machineProgram, setClock } from './qemu.ts'

/** A program of the node. What ends stays down until it is started again. */
export type MachineComponent = 'containerd' | 'kubelet' | 'kube-proxy'

/** A node of a local cluster in a virtual machine: a kernel of its own, cgroup version 2, netem. */
export type Machine = {
  /** the node's name */
  name: string
  /** the node's address, which the host reaches */
  address: string
  /** Runs a shell script as root inside and gives its output; throws, with what it said, when it fails. */
  run(script: string, asked?: Asked): Promise<string>
  /** Runs a script that goes on, and hands on each line as it comes. */
  follow(script: string, onLine: (line: string) => void): Following
  copyIn(from: string, to: string): Promise<void>
  copyOut(from: string, to: string): Promise<void>
  /** Makes the images of a docker archive known; a large one takes minutes. They stay over a boot. */
  importImage(archive: string): Promise<void>
  /** SIGKILL */
  kill(component: MachineComponent): Promise<void>
  /** SIGTERM, waits for the end */
  stop(component: MachineComponent): Promise<void>
  start(component: MachineComponent): Promise<void>
  pause(component: MachineComponent): Promise<void>
  resume(component: MachineComponent): Promise<void>
  /** Cuts the power: the process is killed, and what was not synced to the disk is lost. */
  powerOff(): Promise<void>
  /** Switches it on again with the same disk; resolves when the node is Ready. */
  boot(): Promise<void>
  /** As an operating system does it: SIGTERM to all, SIGKILL, sync, boot. Resolves when the node is Ready. */
  reboot(): Promise<void>
  /** Ends it and takes it out of the cluster. */
  remove(): Promise<void>
}

/** What a machine is made with. */
export type MachineOptions = {
  /** 1 to 9, 1 when absent */
  number?: number
  /** docker archives; docker.io/local/pause:1 must be in one of them */
  images: string[]
  say: Say
}

type Parts = { layout: Layout; machine: MachineLayout; processes: Processes; kubeconfig: string }

const bootWithinMs = 120_000

/** Adds a machine to a running local cluster; it ends with the cluster, also after a crash. */
export async function addMachine(cluster: Cluster, options: MachineOptions): Promise<Machine> {
  const { number = 1, images, say } = options
  const layout = layoutIn(folderOf(cluster))
  const machine = machineLayout(layout, number)
  if (existsSync(machine.folder)) throw new Error(`${machine.name} is there already`)
  const image = await machineImage(say)
  const store = await imageStore(image, images, say)
  await mkdir(machine.folder)
  await Promise.all([createDisks(machine, image, store), writeNodeArchive(layout, machine)])
  await setRoutes(layout, ['replace', machine.podRange, 'via', machine.address])
  say(`booting ${machine.name}`)
  const made = attachMachine(cluster, number)
  await made.boot()
  say(`${machine.name} is Ready`)
  return made
}

/** The verbs of a machine that was added, also for other processes than the one that did it. */
export function attachMachine(cluster: Pick<Cluster, 'kubeconfig'>, number = 1): Machine {
  const layout = layoutIn(folderOf(cluster))
  const machine = machineLayout(layout, number)
  const processes = processesIn(layout.folder)
  processes.add(machine.process, machineProgram(layout, machine))
  const parts = { layout, machine, processes, kubeconfig: cluster.kubeconfig }
  return { ...inside(machine), ...power(parts) }
}

type Inside = Omit<Machine, 'powerOff' | 'boot' | 'reboot' | 'remove'>

function inside({ name, address }: MachineLayout): Inside {
  const run = async (script: string, asked: Asked = {}): Promise<Buffer> => {
    const { code, stdout, stderr } = await ask(address, script, asked)
    if (code === 0) return stdout
    throw new Error(`${name} says ${code} to "${script}": ${stderr.trim()}`)
  }
  const component = (verb: string) => async (which: MachineComponent) =>
    void (await run(`component ${verb} ${which}`))
  return {
    name,
    address,
    run: async (script, asked) => (await run(script, asked)).toString(),
    follow: (script, onLine) => follow(address, script, onLine),
    copyIn: async (from, to) =>
      void (await run(`cat >${quoted(to)}`, { input: createReadStream(from) })),
    copyOut: async (from, to) => await writeFile(to, await run(`cat ${quoted(from)}`)),
    importImage: async (archive) => {
      const input = createReadStream(archive)
      await run('ctr -n k8s.io images import - >/dev/null', { input, timeoutMs: 300_000 })
    },
    kill: component('kill'),
    stop: component('stop'),
    start: component('start'),
    pause: component('pause'),
    resume: component('resume'),
  }
}

const quoted = (path: string): string => `'${path.replaceAll("'", `'\\''`)}'`

// Only what has heard the signal in time may say good-bye, as under any init.
const orderly = `setsid sh -c 'trap "" TERM; sleep 0.2; kill -TERM -1; sleep 2; kill -KILL -1; sync; echo b >/proc/sysrq-trigger' >/dev/null 2>&1 </dev/null &`

function power(parts: Parts): Pick<Machine, 'powerOff' | 'boot' | 'reboot' | 'remove'> {
  const { layout, machine, processes } = parts
  return {
    powerOff: () => processes.kill(machine.process),
    boot: async () => {
      const before = await seen(parts)
      await processes.start(machine.process)
      await untilReady(parts, before.bootId)
    },
    reboot: async () => {
      const before = await seen(parts)
      // the door may be gone before it has answered
      await ask(machine.address, orderly).catch(() => {})
      await untilReady(parts, before.bootId)
      await setClock(machine.address)
    },
    remove: async () => {
      await processes.kill(machine.process)
      await kubectl(parts, ['delete', 'node', machine.name, '--ignore-not-found'])
      await setRoutes(layout, ['del', machine.podRange])
      await rm(machine.folder, { recursive: true })
    },
  }
}

type Seen = { bootId: string; ready: boolean }

/** What the API server knows of the node: its last boot, and whether it was Ready then. */
async function seen(parts: Parts): Promise<Seen> {
  const text = await kubectl(parts, [
    ...['get', 'node', parts.machine.name, '--ignore-not-found', '-o', 'json'],
  ])
  if (text === '') return { bootId: '', ready: false }
  const { status } = JSON.parse(text) as {
    status: { nodeInfo: { bootID: string }; conditions?: { type: string; status: string }[] }
  }
  const ready = status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false
  return { bootId: status.nodeInfo.bootID, ready }
}

/** A node that was there before may still count as Ready: another boot is waited for. */
async function untilReady(parts: Parts, bootIdBefore: string): Promise<void> {
  await until(`${parts.machine.name} is Ready`, bootWithinMs, async () => {
    const { bootId, ready } = await seen(parts)
    return ready && bootId !== bootIdBefore
  })
}

function kubectl({ kubeconfig }: Parts, args: string[]): Promise<string> {
  return run(binary('kubectl'), [`--kubeconfig=${kubeconfig}`, ...args])
}

/** On the host and in the nodes that are namespaces; the routes go with the cluster. */
async function setRoutes(layout: Layout, route: string[]): Promise<void> {
  await run('ip', ['route', ...route])
  for (const { name } of layout.nodes) await run('ip', ['-n', name, 'route', ...route])
}

const folderOf = ({ kubeconfig }: Pick<Cluster, 'kubeconfig'>): string => dirname(kubeconfig)
