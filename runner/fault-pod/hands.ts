import { accessSync, constants, readdirSync, readlinkSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import type { Answer, Command, NodeHands, ProcessFacts } from '../faults/node-fault.ts'
import { parseStat } from './cgroup.ts'
import { readText } from './host.ts'

const tickMs = 10
/** no command that is waited for takes longer, milliseconds */
const commandLimitMs = 5000

const may = (path: string, mode: number): boolean => {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

/** CPU time in milliseconds: schedstat counts nanoseconds where the kernel has it, stat counts ticks. */
function cpuMs(pid: number, ticks: number): number {
  const nanoseconds = Number((readText(`/proc/${pid}/schedstat`) ?? '').split(' ')[0])
  return nanoseconds > 0 ? nanoseconds / 1e6 : ticks * tickMs
}

function processFacts(pid: number): ProcessFacts | null {
  const stat = parseStat(readText(`/proc/${pid}/stat`) ?? '')
  if (!stat) return null
  const { parent, state, startTicks, cpuTicks } = stat
  return { pid, parent, state, startTicks, cpuMs: cpuMs(pid, cpuTicks) }
}

/** The facts of a process that has not ended; null for a zombie, too. */
function livingFacts(pid: number): ProcessFacts | null {
  const facts = processFacts(pid)
  return facts?.state === 'Z' || facts?.state === 'X' ? null : facts
}

const isBelow = (pid: number, folder: string): boolean =>
  (readText(`/proc/${pid}/cgroup`) ?? '').includes(`/${folder}/`)

/** Mount points of this namespace in a text of /proc/<pid>/mountinfo. */
const pinsIn = (mountinfo: string, netns: string): string[] =>
  mountinfo.split('\n').flatMap((line) => {
    const [, , , root, at] = line.split(' ')
    return root === netns && at ? [at] : []
  })

const carries = (pid: number, mark: string): boolean =>
  (readText(`/proc/${pid}/environ`) ?? '').split('\0').includes(`CHAOSPLANE_MARK=${mark}`)

function processors(): number {
  const online = (readText('/sys/devices/system/cpu/online') ?? '').trim()
  const count = online.split(',').reduce((sum, range) => {
    const [from, to] = range.split('-').map(Number)
    return sum + (to ?? from ?? 0) - (from ?? 0) + 1
  }, 0)
  return count > 0 ? count : 1
}

/** What the node part of a fault may do, carried out for real. `env` is what started commands inherit. */
export class Hands implements NodeHands {
  readonly hostRoot: string
  readonly #env: Record<string, string | undefined>
  readonly #nodePids: readonly number[]
  readonly #ends = new Map<string, string>()
  /** pid and start time of what was killed: while it dies its environment is gone, but it is still there */
  readonly #killed = new Map<number, number>()
  /** commands that run: each is on its way into its target's cgroup, or there */
  readonly #started = new Map<number, string>()
  /** told at once when a started command ends */
  onEnd: (mark: string) => void = () => {}

  /** `nodePids`: processes of the node itself, by which its own namespaces are known */
  constructor(
    hostRoot: string,
    env: Record<string, string | undefined>,
    nodePids: readonly number[] = [1],
  ) {
    this.hostRoot = hostRoot
    this.#nodePids = nodePids
    this.#env = env
  }

  read(path: string): string | null {
    return readText(this.hostRoot + path)
  }

  writable(path: string): boolean {
    return may(this.hostRoot + path, constants.W_OK)
  }

  hasProgram(name: string): boolean {
    const path = this.#env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin'
    return path.split(delimiter).some((folder) => may(`${folder}/${name}`, constants.X_OK))
  }

  processors(): number {
    return processors()
  }

  process(pid: number): ProcessFacts | null {
    return processFacts(pid)
  }

  marked(cgroups: readonly string[], mark: string): number[] {
    const pids = new Set<string>()
    for (const group of cgroups)
      for (const pid of (this.read(`${group}/cgroup.procs`) ?? '').split('\n')) pids.add(pid)
    pids.delete('')
    pids.delete('0')
    // The host is reached by way of one of its processes. Without it, an empty answer says nothing.
    if (pids.size === 0 && !may(`${this.hostRoot}/`, constants.R_OK))
      throw new Error(`the files of the node cannot be read any more (${this.hostRoot})`)
    const there = [...pids].map(Number).filter((pid) => carries(pid, mark) || this.#dies(pid))
    // What was started a moment ago has not arrived yet: it is as much there as if it had.
    const coming = [...this.#started].flatMap(([pid, own]) =>
      own === mark && !there.includes(pid) && livingFacts(pid) ? pid : [],
    )
    return [...there, ...coming]
  }

  netns(pid: number): string | null {
    try {
      return readlinkSync(`/proc/${pid}/ns/net`)
    } catch {
      return null
    }
  }

  inNetns(netns: string, folder?: string): number | null {
    const found = readdirSync('/proc')
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && this.netns(pid) === netns)
      .filter((pid) => folder === undefined || isBelow(pid, folder))
      .flatMap((pid) => livingFacts(pid) ?? [])
      .sort((a, b) => a.startTicks - b.startTicks)
    return found[0]?.pid ?? null
  }

  pins(netns: string): string[] {
    const { hostRoot } = this
    const file = hostRoot === '' ? '/proc/self/mountinfo' : join(dirname(hostRoot), 'mountinfo')
    return pinsIn(readText(file) ?? '', netns)
  }

  nodeNetns(): string[] {
    return this.#nodePids.flatMap((pid) => this.netns(pid) ?? [])
  }

  ask(command: Command, input?: string): Answer {
    return this.run(command, input)
  }

  run([program, ...args]: Command, input?: string): Answer {
    const { spawnSync } = process.getBuiltinModule('node:child_process')
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      encoding: 'utf8',
      timeout: commandLimitMs,
      env: { PATH: this.#env['PATH'] },
      ...(input === undefined ? {} : { input }),
    })
    return {
      ok: status === 0,
      stdout: stdout ?? '',
      stderr: error ? error.message : (stderr ?? ''),
    }
  }

  start(command: Command, mark: string): void {
    const { spawn } = process.getBuiltinModule('node:child_process')
    const [program, ...args] = command
    const child = spawn(program, args, {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: this.#env['PATH'], CHAOSPLANE_MARK: mark },
    })
    const { pid } = child
    if (pid !== undefined) this.#started.set(pid, mark)
    let said = ''
    child.stderr?.on('data', (data) => {
      said = `${said}${data}`.slice(-1000)
    })
    child.on('error', (error) => this.#end(mark, error.message))
    child.on('exit', (code, signal) => {
      if (pid !== undefined) this.#started.delete(pid)
      const how = signal ? `was ended by ${signal}` : `exited with ${code}`
      this.#end(mark, `${program} ${how}${said ? `: ${said.trim()}` : ''}`)
    })
  }

  kill(pid: number): void {
    this.#killed.set(pid, processFacts(pid)?.startTicks ?? 0)
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // gone already: proof reads again
    }
  }

  ended(mark: string): string | null {
    return this.#ends.get(mark) ?? null
  }

  #dies(pid: number): boolean {
    const startTicks = this.#killed.get(pid)
    if (startTicks === undefined) return false
    return livingFacts(pid)?.startTicks === startTicks
  }

  #end(mark: string, why: string): void {
    this.#ends.set(mark, why)
    this.onEnd(mark)
  }
}
