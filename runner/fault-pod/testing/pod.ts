import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { type CrashOrder, type CrashPoint, crashFile, crashText } from '../../../lib/crash.ts'
import type {
  NodeCommand,
  NodeEvent,
  NodeHello,
  NodeLine,
  NodeOrder,
} from '../../../model/fault-pod.ts'
import { orderVariables } from '../../../model/order-env.ts'
import { parseStat } from '../cgroup.ts'
import { readText } from '../host.ts'
import type { PosedContainer } from './container.ts'

/** The program as the image has it: one CommonJS file. */
export async function bundleProgram(folder: string): Promise<string> {
  const outfile = join(folder, 'fault-pod.cjs')
  await build({
    entryPoints: [join(import.meta.dirname, '../main.ts')],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    packages: 'external',
  })
  return outfile
}

export const orderFor = (
  containers: PosedContainer[],
  more: Partial<NodeOrder> = {},
): NodeOrder => ({
  protocol: 1,
  cluster: 'cluster',
  node: 'node',
  run: 'run',
  task: 'task',
  resource: { kind: 'ChaosExperiment', namespace: 'demo', name: 'one', uid: 'u' },
  fault: 'pod-cpu-hog',
  params: { workers: 1, loadPercent: 100 },
  targets: containers.map((container, index) => ({
    id: `demo/web-${index}/app`,
    namespace: 'demo',
    pod: `web-${index}`,
    podUid: container.podUid,
    container: 'app',
    containerId: container.containerId,
  })),
  holdMs: 1500,
  start: 'now',
  attempt: 1,
  after: 0,
  armedForMs: 20_000,
  ...more,
})

/** A fault pod without Kubernetes: guard and program as two processes on a folder that stands for the host's disk. */
export class PosedPod {
  readonly disk: string
  readonly journal: string
  readonly lines: NodeLine[] = []
  /** so many of them are of programs before the one that runs */
  linesBefore = 0
  /** whatever was printed that is not a line of the protocol */
  stray = ''
  readonly #shares: boolean
  /** shared memory of its sandbox */
  readonly #memory = mkdtempSync(join(tmpdir(), 'fault-pod-shm-'))
  readonly #program: string
  readonly #order: NodeOrder
  readonly #env: Record<string, string>
  guard: ChildProcess | null = null
  program: ChildProcess | null = null

  /** `disk`: of another pod of the same node, whose journal this one shares. `warmMs`: it has no order yet */
  constructor(program: string, order: NodeOrder, disk?: string, warmMs?: number) {
    this.#order = order
    this.#program = program
    this.#shares = disk !== undefined
    this.disk = disk ?? mkdtempSync(join(tmpdir(), 'fault-pod-'))
    this.journal = join(this.disk, 'run', 'task')
    const given = {
      ...Object.fromEntries(orderVariables(order).map(({ name, value }) => [name, value])),
      CHAOSPLANE_JOURNAL: this.journal,
      CHAOSPLANE_ATTEMPT: String(order.attempt),
    }
    this.#env = {
      PATH: process.env['PATH'] ?? '',
      ...(warmMs === undefined ? given : { CHAOSPLANE_WARM_MS: String(warmMs) }),
      CHAOSPLANE_HOST_ROOT: '',
      CHAOSPLANE_GUARD_LIMIT_MS: '3000',
      CHAOSPLANE_CRASH: this.disk,
      CHAOSPLANE_SHM: this.#memory,
      CHAOSPLANE_LAST_WORD: join(this.#memory, 'last-word'),
    }
  }

  /** What the status of its container would tell of its end. */
  get lastWord(): string | null {
    return readText(join(this.#memory, 'last-word'))
  }

  /** The program ends itself, or is stopped, when it comes to this point. */
  crashAt(point: CrashPoint, order: CrashOrder = { how: 'kill', time: 1 }): void {
    writeFileSync(this.#crashFile(point), crashText(order))
  }

  hasReached(point: CrashPoint): boolean {
    return existsSync(`${this.#crashFile(point)}.reached`)
  }

  #crashFile(point: CrashPoint): string {
    return crashFile(this.disk, this.#order.resource.name, point)
  }

  /** Stopped by a signal: it lives and does nothing. */
  isStopped(): boolean {
    const stat = readText(`/proc/${this.program?.pid}/stat`) ?? ''
    return parseStat(stat)?.state === 'T'
  }

  /** SIGKILL of the guard and all that it has started. */
  killGuard(): void {
    try {
      // its group: its alarm sleeps in a shell of its own
      if (this.guard?.pid) process.kill(-this.guard.pid, 'SIGKILL')
    } catch {
      // gone already
    }
  }

  /** `path`: folders whose programs the guard finds before all others */
  startGuard(path = ''): void {
    const script = join(import.meta.dirname, '../guard.sh')
    this.guard = spawn('sh', [script], {
      env: { ...this.#env, PATH: [path, this.#env['PATH']].filter(Boolean).join(delimiter) },
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    })
    this.guard.stderr?.on('data', (data) => {
      this.stray += data
    })
  }

  /** In a cgroup of version 2 and a cgroup namespace of its own, as runtimes start containers there. */
  startProgramIn(cgroup: string): void {
    const script = 'echo 0 >"$1/cgroup.procs" && shift && exec unshare -C "$@"'
    const { CHAOSPLANE_HOST_ROOT: _found, ...env } = this.#env
    this.#listen(
      spawn('sh', ['-c', script, 'sh', cgroup, process.execPath, this.#program], {
        env,
        stdio: 'pipe',
      }),
    )
  }

  /** As the runtime starts it: root with these capabilities alone; `cgroup`: in a cgroup namespace of its own. */
  startProgramWith(capabilities: readonly string[], cgroup?: string): void {
    const { CHAOSPLANE_HOST_ROOT: _found, ...env } = this.#env
    const kept = ['-all', ...capabilities.map((one) => `+${one.toLowerCase()}`)].join(',')
    const limited = ['setpriv', '--inh-caps=-all', `--bounding-set=${kept}`]
    const script = 'if [ "$1" ]; then echo 0 >"$1/cgroup.procs"; fi; shift; exec "$@"'
    const enter = cgroup === undefined ? [] : ['unshare', '-C']
    const command = [...enter, ...limited, process.execPath, this.#program]
    this.#listen(
      spawn('sh', ['-c', script, 'sh', cgroup ?? '', ...command], { env, stdio: 'pipe' }),
    )
  }

  startProgram(more: Record<string, string> = {}): void {
    const env = { ...this.#env, ...more }
    this.#listen(spawn(process.execPath, [this.#program], { env, stdio: 'pipe' }))
  }

  #listen(child: ChildProcessWithoutNullStreams): void {
    this.program = child
    this.linesBefore = this.lines.length
    let rest = ''
    child.stdout.on('data', (data) => {
      const lines = `${rest}${data}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.lines.push(JSON.parse(line) as NodeLine)
    })
    // one that has just been killed hears nothing
    child.stdin.on('error', () => {})
    child.stderr.on('data', (data) => {
      this.stray += data
    })
  }

  start(): void {
    this.startGuard()
    this.startProgram()
  }

  /** Gives a warm pod its order, as the run that has claimed it does on every stream. */
  sendOrder(more: Partial<NodeOrder> = {}): void {
    this.send(
      { do: 'order', order: { ...this.#order, ...more }, journal: this.journal },
      { do: 'hello', acknowledged: 0 },
    )
  }

  /** Files in the shared memory of its sandbox. */
  remembered(): string[] {
    return readdirSync(this.#memory)
  }

  /** Several commands are heard in one breath. */
  send(...commands: NodeCommand[]): void {
    this.program?.stdin?.write(commands.map((one) => `${JSON.stringify(one)}\n`).join(''))
  }

  get events(): NodeEvent[] {
    return this.lines.filter((line): line is NodeEvent => 'event' in line)
  }

  get hellos(): NodeHello[] {
    return this.lines.filter((line): line is NodeHello => 'hello' in line)
  }

  names(): string[] {
    return this.events.map(({ event }) => event)
  }

  /** The n-th event of this name; fails with all that was printed when it does not come. */
  async event<Name extends NodeEvent['event']>(
    name: Name,
    limitMs = 8000,
  ): Promise<Extract<NodeEvent, { event: Name }>> {
    return until(
      limitMs,
      () => {
        const found = this.events.find(({ event }) => event === name)
        return found as Extract<NodeEvent, { event: Name }> | undefined
      },
      () => `no ${name}: ${JSON.stringify(this.lines)} ${this.stray}`,
    )
  }

  hasJournal(): boolean {
    return statSync(this.journal, { throwIfNoEntry: false }) !== undefined
  }

  files(): string[] {
    return this.hasJournal() ? readdirSync(this.journal) : []
  }

  remove(): void {
    this.program?.kill('SIGKILL')
    this.killGuard()
    rmSync(this.#memory, { recursive: true, force: true })
    if (!this.#shares) rmSync(this.disk, { recursive: true, force: true })
  }
}

/** Waits for a value; fails after `limitMs` with what `else_` says. */
export async function until<T>(
  limitMs: number,
  look: () => T | undefined | false | null,
  otherwise: () => string = () => 'it did not happen',
): Promise<T> {
  const end = performance.now() + limitMs
  for (;;) {
    const value = look()
    if (value) return value
    if (performance.now() > end) throw new Error(`${limitMs} ms passed: ${otherwise()}`)
    await sleep(5)
  }
}

/** Resolves with the exit code of a process. */
export const exitOf = async (
  child: ChildProcess | null,
  limitMs = 5000,
): Promise<number | null> => {
  await until(
    limitMs,
    () => child && (child.exitCode !== null || child.signalCode !== null),
    () => 'still running',
  )
  return child?.exitCode ?? null
}
