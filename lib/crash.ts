import { existsSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Every place on the way plan → journal → inject → verify → hold → revert → prove → report → close at which a program
 * may be cut off, and on the operator's when the runner is gone: before and after each write, each act and each look. A test names one, and the program is killed or
 * stopped there. The statements that reach them carry the label CRASH, which the bundle of the product leaves out.
 */
export const crashPoints = {
  'program/owned': 'the journal is ours, nothing is read yet',
  'program/sweeping': 'a target that an earlier program left open is about to be put back',
  'program/sweep-proven': 'it is proven to be as before, and not reported',
  'program/sweep-lost': 'its loss is reported, its end is not',
  'program/sweep-reported': 'its end is reported, its undo file is still there',
  'program/swept': 'nothing of an earlier program is left open',
  'program/arming': 'the guard is there (or not waited for), no target is armed',
  'program/armed': 'a target is armed and reported',
  'program/ready': 'all targets are armed',
  'program/go': 'the order to go is taken, nothing is planned',
  'program/planned': 'plans are made, nothing is written',
  'program/record-begun': 'the undo file is made and empty',
  'program/record-written': 'the undo file is written, not synced',
  'program/record-synced': 'the undo file is synced, its folder is not',
  'program/journalled': 'the undo file is durable, nothing is done',
  'program/injecting': 'a target is about to be hit; the second time: half of them are',
  'program/injected': 'all targets are hit, no effect is looked for',
  'program/effect-seen': 'the effect on a target is seen, and not reported',
  'program/holding': 'the effect is reported, the target is held',
  'program/ended': 'the hold is over, nothing is put back',
  'program/lost': 'a loss is reported, nothing is put back',
  'program/failed': 'no effect was seen, nothing is put back',
  'program/reverting': 'one try to put a target back begins',
  'program/reverted': 'it is put back, not proven',
  'program/proven': 'it is proven to be as before, and not reported',
  'program/reported': 'the end of a hold is reported',
  'program/all-reported': 'all targets of a go are reported, the undo file is still there',
  'program/record-gone': 'the undo file is gone',
  'program/event-numbered': 'an event has its number and is in no file',
  'program/event-stored': 'an event is in the journal and not printed',
  'program/acknowledging': 'the runner has stored events, the journal does not know',
  'program/leaving': 'the order to end is taken',
  'program/settled': 'nothing is held any more, the journal is open',
  'program/closed': 'the journal is closed, the guard not told',
  'program/guard-sent-home': 'the guard is told to end, the journal is there',
  'program/removed': 'the journal is gone, the program is not',
  'runner/claimed': 'the run is claimed, nothing is done',
  'runner/choosing': 'targets are about to be chosen',
  'runner/chosen': 'targets are chosen, not on record',
  'runner/status-writing': 'a state is about to be stored',
  'runner/status-written': 'a state is stored, who waits for that is not told',
  'runner/pod-recorded': 'the name of a fault pod is stored, the pod is not made',
  'runner/pod-created': 'the fault pod is made',
  'runner/attached': 'the stream to the fault pod is open, nothing is said',
  'runner/heard': 'an event has come and is not taken',
  'runner/taken': 'an event is taken, and not stored',
  'runner/acknowledging': 'events are stored, the program is not told',
  'runner/armed': 'all fault pods of a wave are armed, and that chaos has begun is stored',
  'runner/wave-sent': 'a wave counts as sent, nobody is told',
  'runner/go-sent': 'the fault pods are told to go',
  'runner/stop-sent': 'the fault pods are told to stop',
  'runner/strike-chosen': 'targets of a strike are chosen, not stored',
  'runner/strike-recorded': 'targets of a strike are stored, none is hit',
  'runner/striking': 'a target is about to be struck',
  'runner/struck': 'the strike is accepted, not on record',
  'runner/strike-told': 'the strike is on record, not stored',
  'runner/settling': 'a struck target is about to be followed to its end',
  'runner/settled': 'a struck target is proven to be complete, not on record',
  'runner/planning': 'undo records of held targets are about to be made',
  'runner/planned': 'undo records are made, not stored',
  'runner/plan-recorded': 'undo records are stored, nothing is done',
  'runner/injecting': 'a target is about to be hit; the second time: half of them are',
  'runner/injected': 'a target is hit, no effect is looked for',
  'runner/effect-seen': 'the effect is seen, not on record',
  'runner/holding': 'the effect is on record, not stored',
  'runner/restoring': 'a target is about to be put back',
  'runner/reverting': 'one try to put a target back begins',
  'runner/reverted': 'it is put back, not proven',
  'runner/proven': 'it is proven to be as before, not on record',
  'runner/restored': 'it is on record as put back, not stored',
  'runner/closing': 'fault pods are about to be ended',
  'runner/quit-sent': 'the program is told to forget and to end',
  'runner/removing': 'a fault pod is about to be removed',
  'runner/closed': 'fault pods are gone, not on record',
  'runner/finishing': 'the verdict stands and is stored, the resource is not let go',
  'runner/let-go': 'the resource is let go',
  'operator/pod-wanted': 'a node needs a recovery pod, nothing is made',
  'operator/pod-making': 'the recovery pod is about to be made',
  'operator/pod-made': 'the recovery pod is made, not told of',
  'operator/pod-told': 'it is told of, not remembered',
  'operator/pod-refused': 'the API server has refused it, nobody is told',
  'operator/turning-down': 'the order to give up is refused, the reason is not told',
  'operator/turned-down': 'the reason is told, and the order taken off',
  'operator/giving-up': 'a run is about to be given up, nothing is claimed',
  'operator/claiming': 'a run without a runner is about to be claimed for its end',
  'operator/claimed': 'it is claimed, and no runner can write its record any more',
  'operator/recorded': 'what is left is on record, the resource is not let go',
  'operator/letting-go': 'the resource is about to be let go',
  'operator/let-go': 'the resource is let go',
  'operator/status-writing': 'phase and verdict are about to be stored',
  'operator/status-written': 'phase and verdict are stored, not remembered',
  'operator/sweep-chosen': 'a pod is to go as the cache has it, nobody was asked',
  'operator/sweeping': 'a pod that nobody needs is about to be removed',
  'operator/swept': 'it is removed',
  'operator/lease-sweeping': 'the Lease of a runner that has gone is about to be removed',
  'operator/lease-swept': 'it is removed',
} as const

export type CrashPoint = keyof typeof crashPoints
/** `kill`: SIGKILL. `stop`: SIGSTOP, so that a test may kill others first. */
export type CrashOrder = { how: 'kill' | 'stop'; time: number }

let where: { folder: string; key: string } | null = null

/** From now on orders are looked for in this folder, if there is one. `key`: whom they are for, unless a point says it. */
export function crashIn(folder: string | undefined, key: string): void {
  where = folder ? { folder, key } : null
}

/** The file in which an order for one point lies; `<file>.reached` is made when it is carried out. */
export const crashFile = (folder: string, key: string, point: CrashPoint): string =>
  join(folder, `${key}@${point.replace('/', '.')}`)

export const crashText = ({ how, time }: CrashOrder): string => `${how} ${time}`

type Reached = { how: CrashOrder['how']; told: string }

/** Whether an order is to be carried out here and now; it is taken away then. */
function ordered(point: CrashPoint, key: string): Reached | undefined {
  if (!where) return
  const file = crashFile(where.folder, key, point)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return
  }
  const [how, time] = text.split(' ')
  if (Number(time) > 1) {
    writeFileSync(file, crashText({ how: how as CrashOrder['how'], time: Number(time) - 1 }))
    return
  }
  unlinkSync(file)
  const told = `${file}.reached`
  writeFileSync(told, String(Date.now()))
  return { how: how as CrashOrder['how'], told }
}

/** Ends this program here if an order says so; each order is carried out once. */
export function reach(point: CrashPoint, key = where?.key ?? ''): void {
  const order = ordered(point, key)
  if (order) end(order.how)
}

function end(how: CrashOrder['how']): void {
  process.kill(process.pid, how === 'stop' ? 'SIGSTOP' : 'SIGKILL')
  // The first process of a container does not hear signals of its own; who sent one from outside, it does.
  if (process.pid === 1 && how === 'kill') (process as unknown as Exits).reallyExit(137)
}
type Exits = { reallyExit(code: number): never }

/** As `reach`, but an order to stop holds this one way alone, until the test removes the file `.reached`. */
export async function halt(point: CrashPoint, key = where?.key ?? ''): Promise<void> {
  const order = ordered(point, key)
  if (order?.how === 'kill') end('kill')
  while (order && existsSync(order.told)) await delay(10)
}
