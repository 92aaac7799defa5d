import { existsSync, readlinkSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeCommand, NodeEvent, NodeLine, NodeOrder } from '../../model/fault-pod.ts'
import { Channel } from './channel.ts'
import { crashIn } from './crash.ts'
import { openGuardLine } from './guard-line.ts'
import { Hands } from './hands.ts'
import type { AnyNodeFault } from './hold.ts'
import { bootId, cgroupEntry, createFind, findHost, type Host } from './host.ts'
import { Journal } from './journal.ts'
import { nodeFaults } from './node-faults.generated.ts'
import { orderText } from './order-text.ts'
import { type Owner, own, wantedBy } from './ownership.ts'
import { Program, type World } from './program.ts'
import { sweepClosed } from './sweep-old.ts'

const env = process.env
const minute = 60_000
const guardMs = Number(env['CHAOSPLANE_GUARD_LIMIT_MS'] ?? 10_000)
/** What could not even begin to put back is begun anew after this. */
const againMs = 5000

/** Standard output is for the runner and the container log; what it does not take is in the journal. */
function print(line: NodeLine): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
  for (let done = 0, stuck = 0; done < bytes.length && stuck < 100; ) {
    try {
      done += writeSync(1, bytes, done)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
      stuck++
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

function readOrder(): NodeOrder {
  const order = JSON.parse(orderText(env) ?? 'null') as NodeOrder | null
  if (order?.protocol === 1 && Array.isArray(order.targets)) return order
  throw new Error(
    'CHAOSPLANE_ORDER is not an order of protocol 1: runner and fault pod image must be of one version.',
  )
}

const sameCgroupNamespace = (host: Host): boolean =>
  readlinkSync('/proc/self/ns/cgroup') === readlinkSync(`/proc/${host.pid}/ns/cgroup`)

function hostHere(): { host: Host; enter: string[] } {
  const given = env['CHAOSPLANE_HOST_ROOT']
  if (given !== undefined) return { host: { pid: process.ppid, root: given }, enter: [] }
  const host = findHost(process.ppid)
  return { host, enter: cgroupEntry(host, sameCgroupNamespace(host)) }
}

/**
 * The orders that nobody can carry out: nothing is journalled. What was never touched is refused with the reason; what
 * was injected before is still owed, and is tried again when the container is started again.
 */
function refuseAll(order: NodeOrder, reason: string): void {
  const told = order.targets.map(({ id, touched }, index): NodeEvent => {
    const stamp = { seq: order.after + index + 1, at: Date.now(), target: id }
    if (!touched) return { ...stamp, event: 'refused', code: 'HELPER_ERROR', reason }
    const remaining = [`sh ${env['CHAOSPLANE_JOURNAL']}/undo.sh`]
    return { ...stamp, event: 'revert-failed', reason, remaining }
  })
  for (const event of told) print(event)
  const owed = order.start === 'sweep' || order.targets.some(({ touched }) => touched)
  // stays so that the runner reads it by attach as well as from the log
  setTimeout(() => process.exit(owed ? 1 : 0), owed ? againMs : order.armedForMs)
  listen((command) => {
    if (command.do === 'quit') process.exit(0)
    if (command.do !== 'hello') return
    print({ hello: 1, last: told.at(-1)?.seq ?? order.after })
    for (const event of told) if (event.seq > command.acknowledged) print(event)
  })
  process.on('SIGTERM', () => process.exit(0))
}

function listen(onCommand: (command: NodeCommand) => void): void {
  let rest = ''
  process.stdin.setEncoding('utf8')
  process.stdin.on('error', () => {})
  process.stdin.on('data', (text) => {
    const lines = `${rest}${text}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const command = parseCommand(line)
      if (command) onCommand(command)
    }
  })
}

function parseCommand(line: string): NodeCommand | null {
  try {
    const command = JSON.parse(line) as NodeCommand
    return typeof command?.do === 'string' ? command : null
  } catch {
    return null
  }
}

const faultOf = (id: string): AnyNodeFault | undefined =>
  (nodeFaults as Record<string, unknown>)[id] as AnyNodeFault | undefined

function faultFor({ start, fault: id }: NodeOrder): AnyNodeFault | null {
  if (start === 'sweep') return null
  const fault = faultOf(id)
  if (fault) return fault
  throw new Error(
    `Fault ${id} has no part that runs on a node; this image knows ${Object.keys(nodeFaults).join(', ')}.`,
  )
}

/** Where the host is, and the journal's folder in it. */
type Place = ReturnType<typeof hostHere> & { dir: string }

function placeHere(): Place {
  const folder = env['CHAOSPLANE_JOURNAL']
  if (!folder)
    throw new Error('CHAOSPLANE_JOURNAL is not set: the fault pod was not made by this version.')
  const here = hostHere()
  return { ...here, dir: here.host.root + folder }
}

/**
 * The pod's shared memory belongs to its sandbox. A program that is killed when its journal is gone already is started
 * again in place, and must not take itself for the first one.
 */
function begunIn(folder: string): World['begun'] {
  const file = join(folder, 'chaosplane-begun')
  return {
    is: () => existsSync(file),
    mark() {
      try {
        writeFileSync(file, '')
      } catch {
        // without it the journal alone tells
      }
    },
  }
}

/** Waits for the journal; null when the program of a later pod looks after it. */
async function prepare(order: NodeOrder): Promise<Program | null> {
  const fault = faultFor(order)
  const { host, enter, dir } = placeHere()
  CRASH: crashIn(
    env['CHAOSPLANE_CRASH'] ?? `${host.root}/var/lib/chaosplane-crash`,
    order.resource.name,
  )
  const hands = new Hands(host.root, env, [1, host.pid])
  const { pid } = process
  const startTicks = hands.process(pid)?.startTicks ?? 0
  const me = { pid, startTicks, bootId: bootId(), attempt: order.attempt }
  const journal = await openJournal(dir, me)
  if (!journal) return null
  const now = () => Date.now()
  return new Program({
    order,
    fault,
    faultOf,
    hands,
    journal,
    channel: new Channel(journal, { print, now, after: order.after }),
    find: createFind(host, enter),
    now,
    monotonic: () => performance.now(),
    wantedBy: () => wantedBy(dir),
    begun: begunIn(env['CHAOSPLANE_SHM'] ?? '/dev/shm'),
    limits: {
      guardMs,
      retentionMs: Number(env['CHAOSPLANE_RETENTION_MS'] ?? 10 * minute),
    },
  })
}

async function openJournal(dir: string, me: Owner): Promise<Journal | null> {
  try {
    return (await own(dir, me)) === 'owned' ? new Journal(dir) : null
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(
      `The journal ${env['CHAOSPLANE_JOURNAL']} cannot be written on this node (${why}): make room on the disk under it. Without a journal nothing is injected.`,
    )
  }
}

/** The guard of this pod is needed no more. */
async function dismissGuard(order: NodeOrder): Promise<void> {
  const line = await openGuardLine(join(placeHere().dir, `guard-${order.attempt}`), guardMs)
  line.tell('quit')
}

async function run(order: NodeOrder, program: Program): Promise<void> {
  process.on('SIGTERM', () => program.term())
  process.on('SIGINT', () => program.term())
  // setting up stdin costs milliseconds: what begins at once hears its first order after the injection
  const late = order.start === 'now' && program.isFresh
  if (!late) listen((command) => program.command(command))
  const started = program.start()
  if (late) {
    await started
    listen((command) => program.command(command))
  }
  const ending = await program.ended
  if (ending === 'removed') print({ bye: 1 })
  process.exit(ending === 'owed' ? 1 : 0)
}

function sweepOthersLater(): void {
  setTimeout(() => sweepClosed(placeHere().dir, Date.now() - 10 * minute), 5000).unref()
}

async function main(): Promise<void> {
  const order = readOrder()
  let program: Program | null
  try {
    program = await prepare(order)
  } catch (thrown) {
    return refuseAll(order, thrown instanceof Error ? thrown.message : String(thrown))
  }
  if (!program) {
    await dismissGuard(order).catch(() => {})
    process.exit(0)
  }
  void run(order, program)
  sweepOthersLater()
}

void main()
