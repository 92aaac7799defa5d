import { readlinkSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crashIn } from '../../lib/crash.ts'
import type { NodeLine, NodeOrder } from '../../model/fault-pod.ts'
import type { LastWord } from '../../model/last-word.ts'
import { Channel } from './channel.ts'
import { openGuardLine } from './guard-line.ts'
import { Hands } from './hands.ts'
import type { AnyNodeFault } from './hold.ts'
import { bootId, cgroupEntry, createFind, findHost, type Host } from './host.ts'
import { hasCrashed, Journal, type Kept, nothingKept, readJournal } from './journal.ts'
import { leavesNothing, wordsWithoutJournal } from './no-journal.ts'
import { nodeFaults } from './node-faults.generated.ts'
import { orderText } from './order-text.ts'
import { type Owner, own, wantedBy } from './ownership.ts'
import { markIn, unwrittenIn } from './pod-memory.ts'
import { Program } from './program.ts'
import { sweepClosed } from './sweep-old.ts'
import { Inbox, untilOrdered, WarmPlace } from './warm.ts'

const env = process.env
const minute = 60_000
const guardMs = Number(env['CHAOSPLANE_GUARD_LIMIT_MS'] ?? 10_000)
/** What could not even begin to put back is begun anew after this. */
const againMs = 5000
const memory = env['CHAOSPLANE_SHM'] ?? '/dev/shm'
/** absent: the pod was made for its order */
const warmMs = env['CHAOSPLANE_WARM_MS']
const warm = warmMs === undefined ? null : new WarmPlace(memory, guardMs)
const inbox = new Inbox()
/** the journal's folder on the host */
let folder = env['CHAOSPLANE_JOURNAL']

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

const lastWord: LastWord = 'all is put back and reported; the journal is gone'

/** Said twice: on the stream, which may break, and in the status of the container. */
function sayBye(): void {
  print({ bye: 1 })
  try {
    writeFileSync(env['CHAOSPLANE_LAST_WORD'] ?? '/dev/termination-log', lastWord)
  } catch {
    // the stream, or the program that is sent for the journal, tells
  }
}

function checked(order: NodeOrder | null): NodeOrder {
  if (order?.protocol === 1 && Array.isArray(order.targets)) return order
  throw new Error(
    'The order is not one of protocol 1: runner and fault pod image must be of one version.',
  )
}

/** The order out of the pod's environment, or the one that comes to a warm pod; null when none comes in time. */
async function nextOrder(): Promise<NodeOrder | null> {
  if (!warm) return checked(JSON.parse(orderText(env) ?? 'null') as NodeOrder | null)
  process.on('SIGTERM', leaveIdle)
  const given = await untilOrdered(inbox, warm, Number(warmMs))
  process.off('SIGTERM', leaveIdle)
  if (!given) return null
  folder = given.journal
  warm.tellGuard(given)
  return checked(given.order)
}

const leaveIdle = (): never => process.exit(0)

/** The program's end. `false`: where kubelet starts whatever ends again, the next one is to go on. */
function leave(code: 0 | 1, isDone = code === 0): never {
  if (isDone) warm?.end()
  process.exit(code)
}

/** In a pod whose containers kubelet starts again, after its work is done: nothing, until the pod is taken away. */
function linger(): void {
  process.on('SIGTERM', leaveIdle)
  inbox.hear((command) => {
    if (command.do === 'hello') print({ hello: 1, last: command.acknowledged, now: Date.now() })
    if (command.do === 'quit') print({ bye: 1 })
  })
  setInterval(() => {}, minute)
}

const sameCgroupNamespace = (host: Host): boolean =>
  readlinkSync('/proc/self/ns/cgroup') === readlinkSync(`/proc/${host.pid}/ns/cgroup`)

function hostHere(): { host: Host; enter: string[] } {
  const given = env['CHAOSPLANE_HOST_ROOT']
  if (given !== undefined) return { host: { pid: process.ppid, root: given }, enter: [] }
  const host = findHost(process.ppid)
  return { host, enter: cgroupEntry(host, sameCgroupNamespace(host)) }
}

/** A program that is killed when its journal is gone already must not be followed by one that takes itself for the first. */
const begun = markIn(memory, 'chaosplane-begun')
const unwritten = unwrittenIn(memory)

/** What earlier programs have left, for one that may not write there; null: they may have acted, and nobody can read it. */
function keptHere({ attempt }: NodeOrder): Kept | null {
  try {
    return readJournal(placeHere().dir)
  } catch {
    return begun.is() || attempt > 1 ? null : nothingKept
  }
}

/**
 * The orders that nobody can carry out: nothing is journalled. What was never touched is refused with the reason; what
 * was injected before is still owed, and is tried again when the container is started again.
 */
function refuseAll(order: NodeOrder, reason: string): void {
  const kept = keptHere(order)
  const hasForgotten = begun.is() && unwritten.last > 0
  const known = { order, reason, folder, kept, hasForgotten }
  const store = { ...(kept ?? nothingKept), append: () => false, acknowledge() {} }
  const hasLost = hasCrashed(store.open, bootId())
  const now = () => Date.now()
  const channel = new Channel(store, { print, now, after: order.after, hasLost, unwritten })
  const words = wordsWithoutJournal(known)
  for (const word of words) channel.emit(word)
  const owed = order.start === 'sweep' || words.some(({ event }) => event === 'revert-failed')
  // stays so that the runner reads it by attach as well as from the log
  setTimeout(() => leave(owed ? 1 : 0), owed ? againMs : order.armedForMs)
  inbox.hear((command) => {
    if (command.do === 'quit') {
      if (leavesNothing(known)) sayBye()
      leave(0, !owed)
    } else if (command.do === 'hello') channel.hello(command.acknowledged)
    else if (command.do === 'ack') channel.ack(command.seq)
  })
  process.on('SIGTERM', () => process.exit(0))
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
  if (!folder)
    throw new Error('CHAOSPLANE_JOURNAL is not set: the fault pod was not made by this version.')
  const here = hostHere()
  return { ...here, dir: here.host.root + folder }
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
    channel: new Channel(journal, {
      ...{ print, now, after: order.after, unwritten },
      hasLost: journal.hasCrashed(bootId()),
    }),
    find: createFind(host, enter),
    now,
    monotonic: () => performance.now(),
    wantedBy: () => wantedBy(dir),
    begun,
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
      `The journal ${folder} cannot be written on this node (${why}): make room on the disk under it.`,
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
  if (!late) inbox.hear((command) => program.command(command))
  const started = program.start()
  if (late) {
    await started
    inbox.hear((command) => program.command(command))
  }
  const ending = await program.ended
  if (ending === 'removed') sayBye()
  // what is kept waits for a runner that reads it
  leave(ending === 'owed' ? 1 : 0, ending === 'removed' || ending === 'yielded')
}

function sweepOthersLater(): void {
  setTimeout(() => sweepClosed(placeHere().dir, Date.now() - 10 * minute), 5000).unref()
}

async function main(): Promise<void> {
  if (warm?.hasEnded) return linger()
  const order = await nextOrder()
  if (!order) {
    await warm?.sendGuardHome()
    process.exit(0)
  }
  let program: Program | null
  try {
    program = await prepare(order)
  } catch (thrown) {
    return refuseAll(order, thrown instanceof Error ? thrown.message : String(thrown))
  }
  if (!program) {
    await dismissGuard(order).catch(() => {})
    leave(0)
  }
  void run(order, program)
  sweepOthersLater()
}

void main()
