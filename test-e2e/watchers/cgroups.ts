import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The host's own files, read directly: what a pod's processes are and what CPU time they took. */
const root = '/sys/fs/cgroup'
const unified = existsSync(join(root, 'cgroup.controllers'))
const tree = unified ? root : join(root, 'cpuacct')

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

const below = (folder: string): string[] => {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((e) => e.isDirectory())
      .map((e) => join(folder, e.name))
  } catch {
    return []
  }
}

const all = (folder: string): string[] => [folder, ...below(folder).flatMap(all)]

/** The cgroup of a pod on one of the nodes, or undefined. */
export function podGroup(nodes: string[], uid: string): string | undefined {
  for (const node of nodes)
    for (const one of [join(tree, node), ...below(join(tree, node))])
      for (const folder of [...below(one), ...below(one).flatMap(below)])
        if (folder.endsWith(`pod${uid}`)) return folder
  return undefined
}

/** Processes in a cgroup and below it, also one that is about to become another program and has no command line. */
export const pidsIn = (group: string): number[] =>
  all(group)
    .flatMap((folder) => read(join(folder, 'cgroup.procs')).split('\n'))
    .filter((pid) => pid !== '')
    .map(Number)

/** How many processes are in a cgroup and below it. */
export const processCount = (group: string): number => pidsIn(group).length

/** Processes in a cgroup and below it, with their command lines. */
export function processesIn(group: string): { pid: number; command: string }[] {
  return pidsIn(group)
    .map((pid) => ({
      pid,
      command: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim(),
    }))
    .filter(({ command }) => command !== '')
}

/** Stressors in a cgroup and below it. */
export const stressorsIn = (group: string) =>
  processesIn(group).filter(({ command }) => command.includes('stress-ng'))

/** Stressors anywhere in the pods of the nodes. */
export const stressorsOn = (nodes: string[]) => nodes.flatMap((n) => stressorsIn(join(tree, n)))

/** CPU time that a cgroup has taken, milliseconds. */
export function cpuMs(group: string): number {
  if (!unified) return Number(read(join(group, 'cpuacct.usage'))) / 1e6
  return Number(/usage_usec (\d+)/.exec(read(join(group, 'cpu.stat')))?.[1] ?? 0) / 1e3
}

type Sample = { at: number; cpuMs: number; stressed: boolean }

/** Looks at a pod every 20 ms; a busy machine is told from an idle one by the stressor's own presence. */
export class CpuWatch {
  readonly #samples: Sample[] = []
  readonly #timer: NodeJS.Timeout

  constructor(nodes: string[], uid: string) {
    const group = podGroup(nodes, uid)
    if (group === undefined) throw new Error(`no cgroup of pod ${uid} on ${nodes.join(', ')}`)
    // A process that executes another program or ends has no command line for a moment: it is known by its pid.
    const known = new Set<number>()
    const look = () => {
      for (const { pid } of stressorsIn(group)) known.add(pid)
      const there = known.size > 0 ? pidsIn(group) : []
      for (const pid of known) if (!there.includes(pid)) known.delete(pid)
      this.#samples.push({ at: Date.now(), cpuMs: cpuMs(group), stressed: known.size > 0 })
    }
    look()
    this.#timer = setInterval(look, 20)
  }

  get stressed(): boolean {
    return this.#samples.at(-1)?.stressed ?? false
  }

  /** Every time from a first sight of a stressor to the first look without one; `to` is undefined while it lasts. */
  holds(): { from: number; to: number | undefined; cpuMs: number }[] {
    const holds: { from: number; to: number | undefined; cpuMs: number }[] = []
    let began: Sample | undefined
    for (const sample of this.#samples) {
      if (sample.stressed) began ??= sample
      else if (began) {
        holds.push({ from: began.at, to: sample.at, cpuMs: sample.cpuMs - began.cpuMs })
        began = undefined
      }
    }
    const last = this.#samples.at(-1)
    if (began && last)
      holds.push({ from: began.at, to: undefined, cpuMs: last.cpuMs - began.cpuMs })
    return holds
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
