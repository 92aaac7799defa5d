import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = '/sys/fs/cgroup'

/** Version 2 has one tree, version 1 one tree per controller. */
export function cgroupVersion(): 1 | 2 {
  return existsSync(join(root, 'cgroup.controllers')) ? 2 : 1
}

/** The cgroup that holds all pods of a node. */
export async function createNodeCgroup(node: string): Promise<void> {
  if (cgroupVersion() === 2) return await createUnified(node)
  for (const controller of controllers()) {
    const folder = join(root, controller, node)
    await mkdir(folder, { recursive: true })
    // Empty sets would refuse every process.
    if (controller === 'cpuset')
      for (const file of ['cpuset.cpus', 'cpuset.mems'])
        await writeFile(join(folder, file), await readFile(join(root, controller, file)))
  }
}

/** Processes of the node's pods. */
export async function processesOf(node: string): Promise<number[]> {
  const found = new Set<number>()
  for (const folder of await nodeFolders(node))
    for (const group of await tree(folder))
      for (const pid of (await readOrEmpty(join(group, 'cgroup.procs'))).split('\n'))
        if (pid) found.add(Number(pid))
  return [...found]
}

/** Removes the node's cgroups; they must be empty by now. */
export async function removeNodeCgroup(node: string): Promise<void> {
  for (const folder of await nodeFolders(node))
    for (const group of (await tree(folder)).reverse())
      await rmdir(group).catch((e: NodeJS.ErrnoException) => {
        if (e.code !== 'ENOENT') throw e
      })
}

async function createUnified(node: string): Promise<void> {
  const available = (await readFile(join(root, 'cgroup.controllers'), 'utf8')).trim().split(/\s+/)
  const wanted = ['cpu', 'cpuset', 'memory', 'io', 'pids', 'hugetlb'].filter((c) =>
    available.includes(c),
  )
  const enable = wanted.map((c) => `+${c}`).join(' ')
  await writeFile(join(root, 'cgroup.subtree_control'), enable).catch((e: unknown) => {
    throw new Error(
      `cannot hand cgroup controllers to nodes (${wanted.join(' ')}): run as root on the machine itself, not inside a container`,
      { cause: e },
    )
  })
  await mkdir(join(root, node), { recursive: true })
  await writeFile(join(root, node, 'cgroup.subtree_control'), enable)
}

function controllers(): string[] {
  const known = 'cpu cpuacct cpuset memory devices freezer blkio pids systemd hugetlb net_cls'
  return known.split(' ').filter((c) => existsSync(join(root, c)))
}

async function nodeFolders(node: string): Promise<string[]> {
  // A version 1 machine may mount an empty version 2 tree beside the others; runc makes a group there as well.
  const parents =
    cgroupVersion() === 2 ? [root] : [...controllers(), 'unified'].map((c) => join(root, c))
  return parents.map((p) => join(p, node)).filter(existsSync)
}

/** The folder and all below it, parents first. */
async function tree(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const below = entries.filter((e) => e.isDirectory()).map((e) => tree(join(folder, e.name)))
  return [folder, ...(await Promise.all(below)).flat()]
}

async function readOrEmpty(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch(() => '')
}
