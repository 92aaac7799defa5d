import { spawn } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** One program to be kept under a name: how it is started and when it counts as up. */
export type Program = {
  command: string
  args: string[]
  env?: Record<string, string>
  ready?: () => Promise<boolean>
}

/** Programs of one run, each under a name, with pid file and log; verbs for tests that break them. */
export type Processes = {
  /** Makes a program known under a name, whether or not it runs already. */
  add(name: string, program: Program): void
  /** Starts a known program and waits until it is ready. */
  start(name: string): Promise<void>
  /** SIGTERM, then waits for the end. */
  stop(name: string): Promise<void>
  /** SIGKILL, then waits for the end. */
  kill(name: string): Promise<void>
  /** Kills and starts again. */
  restart(name: string): Promise<void>
  /** SIGSTOP: the process keeps its sockets and answers nothing. */
  pause(name: string): void
  /** SIGCONT after a pause. */
  resume(name: string): void
  runs(name: string): boolean
  /** The pid of a running program. */
  pid(name: string): number
  /** Where the program's output goes. */
  log(name: string): string
  /** All names, in starting order. */
  names(): string[]
}

type Recorded = { pid: number; born: string }

const readyWithinMs = 60_000
const endsWithinMs = 20_000
/** a kubelet gives up each time that its containerd listens and is not ready yet */
const triesAtMost = 10

/** Processes whose pid files and logs lie in `folder`. */
export function processesIn(folder: string): Processes {
  const programs = new Map<string, Program>()
  mkdirSync(join(folder, 'pids'), { recursive: true })
  mkdirSync(join(folder, 'logs'), { recursive: true })
  const log = (name: string) => join(folder, 'logs', `${fileName(name)}.log`)
  const known = (name: string): Program => {
    const program = programs.get(name)
    if (!program)
      throw new Error(`no component "${name}"; there are ${[...programs.keys()].join(', ')}`)
    return program
  }
  const live = (name: string): Recorded => {
    known(name)
    const found = recorded(folder, name)
    if (!found || !isAlive(found)) throw new Error(`"${name}" is not running; see ${log(name)}`)
    return found
  }
  const end = async (name: string, signal: NodeJS.Signals) => {
    const target = live(name)
    process.kill(target.pid, signal)
    if (!(await ended([target], endsWithinMs)))
      throw new Error(`"${name}" (pid ${target.pid}) did not end after ${signal}`)
    rmSync(pidFile(folder, name), { force: true })
  }
  const start = async (name: string) => {
    const chosen = known(name)
    const before = recorded(folder, name)
    if (before && isAlive(before)) throw new Error(`"${name}" is running already`)
    const begin = () =>
      launch(chosen, log(name), (r) => writeFileSync(pidFile(folder, name), JSON.stringify(r)))
    await untilReady({ name, program: chosen, logFile: log(name) }, begin)
  }
  return {
    add: (name, program) => void programs.set(name, program),
    start,
    stop: (name) => end(name, 'SIGTERM'),
    kill: (name) => end(name, 'SIGKILL'),
    restart: async (name) => {
      await end(name, 'SIGKILL')
      await start(name)
    },
    pause: (name) => void process.kill(live(name).pid, 'SIGSTOP'),
    resume: (name) => void process.kill(live(name).pid, 'SIGCONT'),
    runs: (name) => {
      const found = recorded(folder, name)
      return found !== undefined && isAlive(found)
    },
    pid: (name) => live(name).pid,
    log,
    names: () => [...programs.keys()],
  }
}

/** Ends every process that is written down in `folder`, whoever started it. */
export async function endRecorded(folder: string): Promise<void> {
  const all = listed(folder).filter(isAlive)
  // Throw-away programs have nothing to save; a gentle end costs the API server alone five seconds.
  for (const r of all) process.kill(r.pid, 'SIGKILL')
  if (!(await ended(all, endsWithinMs)))
    throw new Error(`processes of ${folder} survive SIGKILL: ${all.map((r) => r.pid).join(' ')}`)
}

/** Waits until `check` says yes; the message names what was waited for. */
export async function until(
  what: string,
  limitMs: number,
  check: () => Promise<boolean> | boolean,
): Promise<void> {
  const end = performance.now() + limitMs
  let last: unknown
  while (performance.now() < end) {
    try {
      if (await check()) return
    } catch (e) {
      last = e
    }
    await delay(50)
  }
  throw new Error(`not after ${limitMs / 1000} s: ${what}`, { cause: last })
}

function launch(program: Program, logFile: string, record: (r: Recorded) => void): Recorded {
  const out = openSync(logFile, 'a')
  try {
    const child = spawn(program.command, program.args, {
      detached: true,
      stdio: ['ignore', out, out],
      env: { ...process.env, ...program.env },
    })
    // Without a listener a missing binary would end the whole test process.
    child.on('error', (e) => writeFileSync(logFile, `${e.message}\n`, { flag: 'a' }))
    child.unref()
    if (child.pid === undefined)
      throw new Error(
        `cannot start ${program.command}: run "npm test" once, it brings the programs`,
      )
    const born = { pid: child.pid, born: birth(child.pid) ?? '' }
    record(born)
    return born
  } finally {
    closeSync(out)
  }
}

type Starting = { name: string; program: Program; logFile: string }

/** A program that gives up while it starts (an API server whose etcd is still busy does) is begun again, as its supervisor would. */
async function untilReady(
  { name, program, logFile }: Starting,
  begin: () => Recorded,
): Promise<void> {
  const { ready } = program
  let born = begin()
  if (!ready) return
  let left = triesAtMost
  try {
    await until(`${name} is ready`, readyWithinMs, async () => {
      if (isAlive(born)) return await ready()
      if (--left > 0) born = begin()
      throw new Error(
        `${name} ended by itself ${left > 0 ? 'and was begun again' : `${triesAtMost} times`}`,
      )
    })
  } catch (e) {
    const tail = readFileSync(logFile, 'utf8').split('\n').slice(-15).join('\n')
    throw new Error(`${name} did not come up; the end of ${logFile}:\n${tail}`, { cause: e })
  }
}

function fileName(name: string): string {
  return name.replaceAll(':', '-')
}

function pidFile(folder: string, name: string): string {
  return join(folder, 'pids', fileName(name))
}

function recorded(folder: string, name: string): Recorded | undefined {
  try {
    return JSON.parse(readFileSync(pidFile(folder, name), 'utf8')) as Recorded
  } catch {
    return undefined
  }
}

function listed(folder: string): Recorded[] {
  try {
    return readdirSync(join(folder, 'pids')).flatMap((name) => recorded(folder, name) ?? [])
  } catch {
    return []
  }
}

/** Start time and state of a process; a pid alone may belong to a stranger by now. */
function birth(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

function isAlive(r: Recorded): boolean {
  return birth(r.pid) === r.born
}

async function ended(all: Recorded[], limitMs: number): Promise<boolean> {
  const end = performance.now() + limitMs
  while (performance.now() < end) {
    if (!all.some(isAlive)) return true
    await delay(20)
  }
  return false
}
