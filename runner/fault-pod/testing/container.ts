import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const hierarchies = { 1: ['cpu', 'cpuacct', 'pids', 'freezer'], 2: ['unified'] } as const
export type CgroupVersion = keyof typeof hierarchies

/** Why a version 2 hierarchy cannot be used beside version 1 here; empty when it can. */
export const noUnified = (): string =>
  existsSync('/sys/fs/cgroup/unified/cgroup.procs') ? '' : 'needs /sys/fs/cgroup/unified'

/** Why a container cannot be posed here; empty when it can. */
export const cannotPose = (): string => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux'
  if (!existsSync('/sys/fs/cgroup/cpuacct/cgroup.procs')) return 'needs cgroup version 1'
  if (!existsSync('/usr/bin/stress-ng')) return 'needs stress-ng'
  return ''
}

/** A pod's first process after the runtime has made its network. */
const withNetwork = [
  'ip link set lo up',
  'ip link add eth0 type veth peer name far',
  'ip addr add 10.7.0.1/24 dev eth0',
  'ip link set eth0 up',
  'ip link set far up',
  'exec sleep 600',
].join('; ')

/** A process in cgroups that are named as kubelet and containerd name a container's. */
export class PosedContainer {
  readonly podUid = randomUUID()
  readonly containerId = (randomUUID() + randomUUID()).replaceAll('-', '')
  readonly #root = `chaosplane-test-${randomUUID()}`
  readonly #hierarchies: readonly string[]
  readonly #command: string[]
  #first: ChildProcess

  /** `network`: with a network namespace of its own */
  constructor(version: CgroupVersion = 1, { network = false } = {}) {
    this.#hierarchies = hierarchies[version]
    this.#command = network ? ['unshare', '--net', 'sh', '-c', withNetwork] : ['sleep', '600']
    for (const hierarchy of this.#hierarchies) mkdirSync(this.#dir(hierarchy), { recursive: true })
    this.#first = this.#begin()
  }

  #begin(): ChildProcess {
    const [program = '', ...args] = this.#command
    const child = spawn(program, args, { stdio: 'ignore' })
    for (const hierarchy of this.#hierarchies)
      writeFileSync(`${this.#dir(hierarchy)}/cgroup.procs`, String(child.pid))
    return child
  }

  #dir(hierarchy: string): string {
    return `/sys/fs/cgroup/${hierarchy}/${this.#root}/kubepods/burstable/pod${this.podUid}/${this.containerId}`
  }

  /** Resolves when its first process has nothing more to set up. */
  async ready(): Promise<void> {
    const asleep = () => readFileSync(`/proc/${this.pid}/comm`, 'utf8').trim() === 'sleep'
    while (!asleep()) await sleep(5)
  }

  get pid(): number {
    return this.#first.pid ?? 0
  }

  /** The container's first process ends, as in a crash. */
  crash(): void {
    this.#first.kill('SIGKILL')
  }

  /** pids in the container's cgroup, its own first process left out */
  strangers(): number[] {
    const text = readFileSync(`${this.#dir(this.#hierarchies[0] ?? '')}/cgroup.procs`, 'utf8')
    return text
      .split('\n')
      .filter(Boolean)
      .map(Number)
      .filter((pid) => pid !== this.#first.pid)
  }

  /** CPU used in the container's cgroup so far, milliseconds */
  cpuMs(): number {
    if (this.#hierarchies.includes('cpuacct'))
      return Number(readFileSync(`${this.#dir('cpuacct')}/cpuacct.usage`, 'utf8')) / 1e6
    const stat = readFileSync(`${this.#dir('unified')}/cpu.stat`, 'utf8')
    return Number(/^usage_usec (\d+)/m.exec(stat)?.[1]) / 1e3
  }

  /** CPU used during the next `ms`, as a share of one core */
  async load(ms: number): Promise<number> {
    const [from, before] = [performance.now(), this.cpuMs()]
    await sleep(ms)
    return (this.cpuMs() - before) / (performance.now() - from)
  }

  async remove(): Promise<void> {
    for (const pid of [...this.strangers(), this.#first.pid ?? 0])
      if (pid) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // gone already
        }
      }
    for (const hierarchy of this.#hierarchies)
      for (let at = this.#dir(hierarchy); at.includes(this.#root); at = dirname(at))
        await removeGroup(at)
  }
}

/** A killed process leaves its cgroup a moment later. */
export async function removeGroup(dir: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      return rmdirSync(dir)
    } catch {
      await sleep(10)
    }
  }
}
