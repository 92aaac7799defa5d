import { readdirSync, readFileSync, statSync } from 'node:fs'
import type { NodeTarget } from '../../model/fault-pod.ts'
import { type FoundTarget, NodeTrouble, TargetGone } from '../faults/node-fault.ts'
import {
  containerDirectories,
  containerIn,
  inContainer,
  inPod,
  parseCgroupMounts,
  parseMembership,
  parseStat,
} from './cgroup.ts'

/** The file's text, null when it cannot be read. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** The host as the program reaches it: `pid` is a process of the host, `root` where its files begin. */
export type Host = { pid: number; root: string }

const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined

/**
 * Process 1 if its files can be entered, else our parent: a container's first process is a child of
 * its shim or monitor, which runs on the host. guard.sh chooses by the same rule.
 */
export function findHost(parent: number): Host {
  for (const pid of [1, parent]) {
    const root = `/proc/${pid}/root`
    try {
      if (exists(`${root}/sys/fs/cgroup/cgroup.procs`) || exists(`${root}/sys/fs/cgroup/cpu`))
        return { pid, root }
    } catch {
      // not allowed to enter: the next one
    }
  }
  throw new NodeTrouble(
    'HELPER_ERROR',
    "The host's files cannot be reached: the fault pod needs hostPID and the capability SYS_PTRACE, and no AppArmor or SELinux profile that forbids /proc/<pid>/root.",
  )
}

type Seen = { pid: number; startTicks: number }

/** Every process with the text of its membership in cgroups. */
type Memberships = readonly (readonly [pid: number, text: string])[]

const memberships = (): Memberships =>
  readdirSync('/proc').flatMap((name) => {
    const pid = Number(name)
    const text = Number.isInteger(pid) ? readText(`/proc/${name}/cgroup`) : null
    return text === null ? [] : [[pid, text] as const]
  })

function processesOf(all: Memberships, needle: (text: string) => boolean): Seen[] {
  const found: Seen[] = []
  for (const [pid, text] of all) {
    if (!needle(text)) continue
    const stat = parseStat(readText(`/proc/${pid}/stat`) ?? '')
    if (stat && stat.state !== 'Z') found.push({ pid, startTicks: stat.startTicks })
  }
  return found.sort((a, b) => a.startTicks - b.startTicks || a.pid - b.pid)
}

const namesContainer = (text: string, id: string): boolean =>
  text.includes(id) && parseMembership(text).some(({ path }) => inContainer(path, id))

/** In a cgroup namespace of our own the kernel shows paths and mounts relative to it: the host's view has to be asked for. */
function hostView(host: Host, enter: readonly string[], path: string): string {
  if (enter.length === 0) return readText(path) ?? ''
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const [program = '', ...args] = [...enter, 'cat', path]
  const { stdout, status, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 5000 })
  if (status === 0) return stdout
  throw new NodeTrouble(
    'HELPER_ERROR',
    `The host's cgroup namespace cannot be entered through process ${host.pid} (${stderr?.trim()}): the fault pod needs the capabilities SYS_ADMIN and SYS_PTRACE.`,
  )
}

/** The command prefix that leads into the host's cgroup namespace, empty when we are in it. */
export function cgroupEntry(host: Host, sameNamespace: boolean): string[] {
  return sameNamespace ? [] : ['nsenter', '-t', String(host.pid), '-C', '--']
}

/**
 * Finds a target's processes and cgroups; throws NodeTrouble when the container does not run here. `byPod`: then
 * whatever else runs in the pod will do. Targets that are looked for in one go share one reading of /proc: with 200 of
 * them, each on its own takes seconds.
 */
export function createFind(
  host: Host,
  enter: string[],
): (target: NodeTarget, how: { byPod: boolean }) => Omit<FoundTarget, 'mark'> {
  let all: Memberships | null = null
  return (target, how) => {
    if (!all) {
      all = memberships()
      setImmediate(() => {
        all = null
      })
    }
    return findTarget(target, all, { host, enter, ...how })
  }
}

function findTarget(
  target: NodeTarget,
  all: Memberships,
  { host, enter, byPod }: { host: Host; enter: string[]; byPod: boolean },
): Omit<FoundTarget, 'mark'> {
  const first = firstOf(target, all) ?? (byPod ? anyOf(target, all) : null)
  if (!first) throw gone(target, all)
  const mounts = parseCgroupMounts(hostView(host, enter, `/proc/${host.pid}/mountinfo`))
  const view = hostView(host, enter, `/proc/${first.pid}/cgroup`)
  const directories = containerDirectories(parseMembership(view), mounts, first.containerId)
  const forCpu = directories.some(
    ({ controllers }) =>
      controllers.length === 0 || controllers.includes('cpu') || controllers.includes('cpuacct'),
  )
  if (!forCpu)
    throw new NodeTrouble(
      'HELPER_ERROR',
      `No cgroup of ${target.id} is mounted on the host under /sys/fs/cgroup: sandboxed runtimes (gVisor, Kata) are not supported.`,
    )
  return {
    id: target.id,
    containerId: first.containerId,
    bootId: bootId(),
    pid: first.pid,
    startTicks: first.startTicks,
    cgroups: directories.map(({ dir }) => dir),
    enter,
  }
}

type First = Seen & { containerId: string }

/** The first process of the container. */
function firstOf({ containerId }: NodeTarget, all: Memberships): First | null {
  const [first] = processesOf(all, (text) => namesContainer(text, containerId))
  return first ? { ...first, containerId } : null
}

/** The oldest process of the pod, which as a rule is that of its sandbox. */
function anyOf({ podUid }: NodeTarget, all: Memberships): First | null {
  const idIn = (text: string): string | undefined =>
    text.includes(podUid) || text.includes(podUid.replaceAll('-', '_'))
      ? parseMembership(text).flatMap(({ path }) => containerIn(path, podUid) ?? [])[0]
      : undefined
  const [first] = processesOf(all, (text) => idIn(text) !== undefined)
  const containerId = first && idIn(readText(`/proc/${first.pid}/cgroup`) ?? '')
  return containerId ? { ...first, containerId } : null
}

function gone(target: NodeTarget, all: Memberships): NodeTrouble {
  const podIsHere =
    processesOf(all, (text) => parseMembership(text).some(({ path }) => inPod(path, target.podUid)))
      .length > 0
  if (podIsHere)
    return new TargetGone(
      `Container ${target.container} (${target.containerId.slice(0, 12)}) of ${target.namespace}/${target.pod} does not run any more: it has ended or restarted since it was selected.`,
    )
  return new NodeTrouble(
    'TARGET_SELECTION_ERROR',
    `Pod ${target.namespace}/${target.pod} has no process on this node: it has ended or moved since it was selected, or runs in a sandboxed runtime.`,
  )
}

/** Changes with every boot of the node. */
export const bootId = (): string => (readText('/proc/sys/kernel/random/boot_id') ?? '').trim()

/** Milliseconds since the boot of the node, as guard.sh counts them too: no jump of the wall clock moves it. */
export const bootMs = (): number =>
  Math.round(Number((readText('/proc/uptime') ?? '').split(' ')[0]) * 1000)
