import { readlinkSync, writeSync } from 'node:fs'
import type { NodeCommand, NodeLine, NodeOrder } from '../../model/fault-pod.ts'
import { Channel } from './channel.ts'
import { Hands } from './hands.ts'
import type { AnyNodeFault } from './hold.ts'
import { cgroupEntry, findHost, findTarget, type Host } from './host.ts'
import { Journal } from './journal.ts'
import { nodeFaults } from './node-faults.generated.ts'
import { Program } from './program.ts'
import { sweepClosed } from './sweep-old.ts'

const env = process.env
const minute = 60_000

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
  const order = JSON.parse(env['CHAOSPLANE_ORDER'] ?? 'null') as NodeOrder | null
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

/** The orders that nobody can carry out: every target is refused with the reason, nothing is journalled. */
function refuseAll(order: NodeOrder, code: string, reason: string): void {
  order.targets.forEach(({ id }, index) => {
    print({ seq: index + 1, at: Date.now(), event: 'refused', target: id, code, reason })
  })
  // stays so that the runner reads it by attach as well as from the log
  setTimeout(() => process.exit(0), order.armedForMs)
  listen((command) => {
    if (command.do === 'quit') process.exit(0)
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

function prepare(order: NodeOrder): Program {
  const fault = (nodeFaults as Record<string, unknown>)[order.fault] as AnyNodeFault | undefined
  if (!fault)
    throw new Error(
      `Fault ${order.fault} has no part that runs on a node; this image knows ${Object.keys(nodeFaults).join(', ')}.`,
    )
  const { host, enter } = hostHere()
  const folder = env['CHAOSPLANE_JOURNAL']
  if (!folder)
    throw new Error('CHAOSPLANE_JOURNAL is not set: the fault pod was not made by this version.')
  const journal = new Journal(host.root + folder)
  const hands = new Hands(host.root, env, [1, host.pid])
  journal.own(process.pid, hands.process(process.pid)?.startTicks ?? 0)
  const now = () => Date.now()
  return new Program({
    order,
    fault,
    hands,
    journal,
    channel: new Channel(journal, print, now),
    find: (target) => findTarget(target, host, enter),
    now,
    monotonic: () => performance.now(),
    limits: {
      guardMs: Number(env['CHAOSPLANE_GUARD_LIMIT_MS'] ?? 10_000),
      retentionMs: Number(env['CHAOSPLANE_RETENTION_MS'] ?? 10 * minute),
    },
  })
}

async function run(order: NodeOrder, program: Program): Promise<void> {
  process.on('SIGTERM', () => program.term())
  process.on('SIGINT', () => program.term())
  if (order.start === 'wait') listen((command) => program.command(command))
  await program.start()
  // after the injection: setting up stdin costs milliseconds
  if (order.start === 'now') listen((command) => program.command(command))
  const ending = await program.ended
  process.exit(ending === 'owed' ? 1 : 0)
}

const order = readOrder()
let program: Program | null = null
try {
  program = prepare(order)
} catch (thrown) {
  refuseAll(order, 'HELPER_ERROR', thrown instanceof Error ? thrown.message : String(thrown))
}
if (program) {
  void run(order, program)
  const own = env['CHAOSPLANE_JOURNAL'] ?? ''
  setTimeout(() => {
    const root = env['CHAOSPLANE_HOST_ROOT'] ?? findHost(process.ppid).root
    sweepClosed(root + own, Date.now() - 10 * minute)
  }, 5000).unref()
}
