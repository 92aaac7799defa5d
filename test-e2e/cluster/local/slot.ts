import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Lock, tryLock } from '../lock.ts'
import { endRecorded } from '../processes.ts'
import { run, succeeds } from '../shell.ts'
import { aboutOf } from './about.ts'
import { processesOf, removeNodeCgroup } from './cgroups.ts'
import { layoutOf, slots } from './layout.ts'
import { removeNetwork } from './network.ts'

/** A place for one cluster on this machine, held for as long as its owner lives. */
export type Slot = { number: number; folder: string; lock: Lock }

/** Takes the first free slot; ends first what dead owners left in any slot. */
export async function takeSlot(): Promise<Slot> {
  let taken: Slot | undefined
  for (let number = 0; number < slots; number++) {
    const lock = await tryLock(`cluster-${number}`)
    if (!lock) continue
    const slot = { number, folder: join(tmpdir(), `chaosplane-cluster-${number}`), lock }
    if (existsSync(slot.folder)) await clearSlot(slot)
    if (taken) await lock.release()
    else taken = slot
  }
  if (!taken)
    throw new Error(`all ${slots} places for clusters on this machine are taken; end one of them`)
  await mkdir(taken.folder)
  return taken
}

/** Ends every process of the slot's cluster and leaves nothing: mounts, namespaces, cgroups, files. */
export async function clearSlot(slot: Slot): Promise<void> {
  const layout = layoutOf(slot.folder, slot.number, maxNodes)
  const nodes = layout.nodes.map((n) => n.name)
  await endRecorded(slot.folder)
  // A shim may start one more process while the others are ended.
  for (let round = 0; round < 50; round++) {
    const inPods = (await Promise.all(nodes.map(processesOf))).flat()
    const all = [...inPods, ...(await shims(slot.folder))]
    if (all.length === 0) break
    for (const pid of all) endPid(pid)
    await delay(50)
  }
  for (const node of layout.nodes) await removeShimSockets(node.folder)
  await unmountBelow(slot.folder)
  await removeNetwork(layout)
  await removeJournals(slot.folder)
  await Promise.all(nodes.map(removeNodeCgroup))
  await rm(slot.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}

/** Ends the cluster and gives the slot back. */
export async function giveBack(slot: Slot): Promise<void> {
  await clearSlot(slot)
  await slot.lock.release()
}

const maxNodes = 9

/** The nodes have one disk, this machine's: what a run keeps there for a node that has gone is nobody's any more. */
async function removeJournals(folder: string): Promise<void> {
  const id = aboutOf(folder)?.id
  if (id && /^[0-9a-f-]{36}$/.test(id))
    await rm(join('/var/lib/chaosplane', id), { recursive: true, force: true })
}

/** containerd's shims outlive it on purpose; they carry the socket's path in their environment and arguments. */
async function shims(folder: string): Promise<number[]> {
  const lines = (await run('ps', ['-eww', '-o', 'pid=,args='])).split('\n')
  return lines
    .filter((l) => l.includes('containerd-shim') && l.includes(`${folder}/`))
    .map((l) => Number.parseInt(l, 10))
}

/** A killed shim leaves its socket in a folder that all containerds of the machine share. */
async function removeShimSockets(nodeFolder: string): Promise<void> {
  const tasks = join(nodeFolder, 'containerd-state/io.containerd.runtime.v2.task/k8s.io')
  for (const id of await readdir(tasks).catch(() => [])) {
    const address = await readFile(join(tasks, id, 'address'), 'utf8').catch(() => '')
    if (address.startsWith('unix:///run/containerd/s/'))
      await rm(address.slice('unix://'.length), { force: true })
  }
}

function endPid(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // gone meanwhile
  }
}

async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await readFile('/proc/mounts', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
  for (const path of mounts.sort().reverse()) await succeeds('umount', ['-l', path])
}
