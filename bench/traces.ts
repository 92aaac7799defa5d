import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AuditEvent, endOfAudit, readAudit } from '../test-e2e/cluster/audit.ts'
import { cpuMs, podGroup, processCount, processesIn } from '../test-e2e/watchers/cgroups.ts'

/** Unix milliseconds with fractions. */
export const now = (): number => performance.timeOrigin + performance.now()

type Container = { uid: string; containerId: string }

function groupOf(nodes: string[], { uid, containerId }: Container): string {
  const pod = podGroup(nodes, uid)
  const name = pod && readdirSync(pod).find((folder) => folder.includes(containerId))
  if (!pod || !name) throw new Error(`container ${containerId} of pod ${uid} has no cgroup here`)
  return join(pod, name)
}

type Sample = { at: number; cpu: number }

/** CPU time of one container of a pod, looked at every 2 ms from outside. */
export class CpuTrace {
  readonly #samples: Sample[] = []
  readonly #timer: NodeJS.Timeout

  constructor(nodes: string[], container: Container) {
    const group = groupOf(nodes, container)
    const look = () => this.#samples.push({ at: now(), cpu: cpuMs(group) })
    look()
    this.#timer = setInterval(look, 2)
  }

  /** When the container had used a millisecond more than at `after`; undefined while it has not. */
  rise(after: number): number | undefined {
    const before = this.#samples.findLast(({ at }) => at <= after) ?? this.#samples[0]
    return this.#samples.find(({ at, cpu }) => at > after && cpu > (before?.cpu ?? 0) + 1)?.at
  }

  /** The last time at which it used CPU; undefined while it still does. */
  fall(): number | undefined {
    const last = this.#samples.at(-1)
    const still = this.#samples.findLastIndex(({ cpu }) => last && last.cpu - cpu > 0.05)
    const at = this.#samples[still + 1]?.at
    return last && at !== undefined && last.at - at > 200 ? at : undefined
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

/** Processes in one container of a pod, looked at every 2 ms from outside. */
export class ProcessTrace {
  readonly #samples: { at: number; count: number }[] = []
  readonly #timer: NodeJS.Timeout

  constructor(nodes: string[], container: Container) {
    const group = groupOf(nodes, container)
    const look = () => this.#samples.push({ at: now(), count: processCount(group) })
    look()
    this.#timer = setInterval(look, 2)
  }

  /** When there were first more after `after` than at the beginning; undefined while there are not. */
  rise(after: number): number | undefined {
    return this.#samples.find(({ at, count }) => at > after && count > this.#own)?.at
  }

  /** Since when there are no more than at the beginning; undefined while there are. */
  fall(): number | undefined {
    const last = this.#samples.at(-1)
    const more = this.#samples.findLastIndex(({ count }) => count > this.#own)
    const at = this.#samples[more + 1]?.at
    return more >= 0 && last && at !== undefined && last.at - at > 200 ? at : undefined
  }

  get #own(): number {
    return this.#samples[0]?.count ?? 0
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

/** The audit log from the moment of `begin`. */
export class AuditTrace {
  readonly #file: string
  #from = 0

  constructor(file: string) {
    this.#file = file
  }

  async begin(): Promise<void> {
    this.#from = await endOfAudit(this.#file)
  }

  async events(): Promise<AuditEvent[]> {
    return await readAudit(this.#file, this.#from)
  }
}

/** When a request was answered, as the API server's clock says. */
export const answeredAt = (event: AuditEvent): number => precise(event.stageTimestamp)
/** When it came. */
export const cameAt = (event: AuditEvent): number => precise(event.requestReceivedTimestamp)

// Date.parse drops what is below a millisecond
const precise = (text: string): number =>
  Date.parse(text) + Number(`0.${/\.\d{3}(\d+)/.exec(text)?.[1] ?? '0'}`)

/** Requests of our programs, without leases and without watches that are renewed. */
export function ownRequests(events: AuditEvent[]): Map<string, number> {
  const count = new Map<string, number>()
  for (const { user, impersonatedUser, verb, objectRef } of events) {
    if (!user.username.startsWith('system:serviceaccount:chaosplane:')) continue
    if (verb === 'watch' || objectRef?.resource === 'leases') continue
    const as = impersonatedUser ? ` as ${impersonatedUser.username.split(':').at(-1)}` : ''
    const name = `${user.username.split(':').at(-1)}${as}`
    count.set(name, (count.get(name) ?? 0) + 1)
  }
  return count
}

export type Memory = {
  rss: number
  pss: number
  /** the most that RSS ever was */
  peak: number
}

/** Memory of the largest process of a pod, MB. */
export function memoryOf(nodes: string[], podUid: string): Memory {
  const group = podGroup(nodes, podUid)
  const all = (group ? processesIn(group) : []).map(({ pid }) => ({
    rss: megabytes(`/proc/${pid}/status`, 'VmRSS'),
    pss: megabytes(`/proc/${pid}/smaps_rollup`, 'Pss'),
    peak: megabytes(`/proc/${pid}/status`, 'VmHWM'),
  }))
  const [largest] = all.toSorted((a, b) => b.rss - a.rss)
  if (!largest) throw new Error(`pod ${podUid} has no process on ${nodes.join(', ')}`)
  return largest
}

function megabytes(file: string, field: string): number {
  try {
    const text = readFileSync(file, 'utf8')
    return (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024) / 1e6
  } catch {
    return 0
  }
}
