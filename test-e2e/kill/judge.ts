import { type Case, faults, type Moment } from './table.ts'

/** While node and API are up; and after a controller is back. Milliseconds. */
export const promptMs = 5000
/** Past the fault's own deadline, while the API or the node's kubelet or containerd is away. Milliseconds. */
export const lateMs = 2000
/** What our own eyes are late by, and what differs between a record and what is seen from outside, milliseconds. */
const blurMs = 250
/** What begins is seen by processes that may get no CPU at once. */
const sightMs = 1500
const recordMs = 2000

/** From when to when something was not as before, seen from outside; unix milliseconds. */
export type Span = { from: number; to: number | undefined }
/** One target: what was seen of it, and what the record says. */
export type SeenTarget = {
  id: string
  spans: readonly Span[]
  /** how many injections were seen there at one time, at most */
  most: number
  /** between the images before and at the end; empty: it is as before */
  difference: string
  /** by the record: since when, for how long, and until when at the latest */
  injectedAt: number | undefined
  heldMs: number | undefined
  endsAt: number | undefined
}
/** What was seen of one case from outside. */
export type Seen = {
  killedAt: number
  /** how long the program was held up at its moment before that, milliseconds */
  stoodMs: number
  /** when API server and runner were back; the kill when they were not away */
  backAt: number
  holdMs: number
  /** from before it was created until its end was seen, milliseconds */
  lifeMs: number
  /** objects that were struck, by their uids; only for what is over at once */
  struck: number
  targets: readonly SeenTarget[]
  verdicts: readonly string[]
  failStep: string
  injections: number
  residue: readonly string[]
}
/**
 * `time`: something took too long, or was measured otherwise than it was seen, which may be a machine that is busy.
 * `truth`: something happened, or was said, that must not be, however busy the machine.
 */
export type Wrong = { kind: 'time' | 'truth'; text: string }
const late = (text: string): Wrong => ({ kind: 'time', text })
const untrue = (text: string): Wrong => ({ kind: 'truth', text })

/** What is wrong, and how long it took from what starts the clock until all was as before. */
export type Judged = { wrong: Wrong[]; ms?: number; clock?: 'kill' | 'deadline' | 'controller' }
export const textsOf = ({ wrong }: Judged): string[] => wrong.map(({ text }) => text)

const away = ['API server', 'kubelet', 'containerd'] as const
const dies = ({ victims }: Case, ...some: readonly string[]): boolean =>
  victims.some((victim) => some.includes(victim))

/** The one that holds the fault on the node was killed: what it held ends early. */
const cutShort = (one: Case): boolean => dies(one, 'program', 'fault pod')

/** A program that the test held up injects late: then its guard may end the hold first, or no effect be seen in time. */
const patienceMs = 1000
const beforeTheAct: readonly Moment[] = ['planned', 'journalled', 'half-injected']
const wasLate = (one: Case, { stoodMs }: Seen, failStep: string): boolean =>
  (faults[one.fault] === 'node' &&
    stoodMs > patienceMs &&
    beforeTheAct.includes(one.moment) &&
    /CUT_SHORT|EFFECT_NOT_SEEN/.test(failStep)) ||
  // nor does the product make the pods: after an API server was away the cluster's controllers take their time
  (one.fault === 'pod-autoscaler' &&
    dies(one, 'API server', 'kubelet', 'containerd') &&
    failStep.startsWith('EFFECT_NOT_SEEN'))

/**
 * How long pods that have to come or to go are waited for, as the documents here say, milliseconds. A kubelet that has
 * seen the API server die twice within two minutes may not ask it for the next minute.
 */
export const effectMs = 120_000

/** A run that is stopped by its user on purpose comes here. */
export const stopPoint = 'runner/stop-sent'

/**
 * The name of the fault pod was on record, and there is no such pod: it may have been made, have injected at once and be
 * gone. What takes its place only puts back, and the run says that nothing was done.
 */
const isUnbegun = ({ point }: Case, failStep: string): boolean =>
  (point === 'runner/status-written' || point === 'runner/pod-recorded') &&
  failStep.endsWith('Nothing was done to the target.')

/**
 * Both targets of a program may be hit at once, before its guard has come (the pod is made for one node alone); and one
 * that the test held up cannot hear it come. A guard that died then, and that no runtime brings back, ends the hold when
 * it was waited for long enough.
 */
const isUnguarded = (one: Case, { stoodMs }: Seen, failStep: string): boolean =>
  (one.moment === 'armed' ||
    (stoodMs > patienceMs && [...beforeTheAct, 'injected'].includes(one.moment))) &&
  one.victims.includes('guard') &&
  dies(one, 'kubelet', 'containerd') &&
  /CUT_SHORT : .*The guard container did not open/.test(failStep)

type Due = { clock: 'kill' | 'deadline' | 'controller'; from: number; limit: number }

/** When a target must be as before: what the clock starts at, and how long it may run. */
export function dueOf(one: Case, span: Span, seen: Seen, endsAt: number | undefined): Due {
  // What others of the cluster have to complete (pods that come, pods that go) is held from then on, and waited for before.
  const isAwaited = one.fault === 'pod-autoscaler' || one.fault === 'node-drain'
  const waitsMs = isAwaited && endsAt === undefined ? effectMs : seen.holdMs
  const deadline = Math.max(endsAt ?? 0, span.from + waitsMs)
  if (faults[one.fault] !== 'node') {
    if (seen.backAt > deadline) return { clock: 'controller', from: seen.backAt, limit: promptMs }
    return { clock: 'deadline', from: deadline, limit: promptMs }
  }
  const wasHeld = span.from <= seen.killedAt
  if (wasHeld && cutShort(one) && !dies(one, ...away))
    return { clock: 'kill', from: seen.killedAt, limit: promptMs }
  // A program that could not report when it began has another deadline than the record: ours is later.
  return { clock: 'deadline', from: deadline, limit: lateMs }
}

/** What must not be whatever became of a case, also of one that never came to its moment: somebody was hit twice. */
export function judgeHits({ fault }: Case, { injections, struck, targets }: Seen): Wrong[] {
  const count = targets.length
  const wrong = injections > count ? [untrue(`${injections} injections on ${count} targets`)] : []
  if (faults[fault] === 'once')
    return struck > count
      ? [...wrong, untrue(`${struck} objects were struck, not ${count}`)]
      : wrong
  const each = targets.flatMap(({ id, spans, most }) => [
    ...(spans.length > 1 ? [untrue(`${id} was hit ${spans.length} times`)] : []),
    ...(most > 1 ? [untrue(`${id} was hit ${most} times at once`)] : []),
  ])
  return [...wrong, ...each]
}

const leftOf = ({ residue, targets }: Seen): Wrong[] => [
  ...residue.map((left) => untrue(`left: ${left}`)),
  ...targets.flatMap(({ id, difference }) =>
    difference ? [untrue(`${id} is not as before: ${difference}`)] : [],
  ),
]

/** What the record says that cannot have been, milliseconds: more than there was time for. */
function claimTrouble({ id, heldMs = 0 }: SeenTarget, { lifeMs }: Seen): Wrong[] {
  if (heldMs <= lifeMs + blurMs) return []
  return [untrue(`${id}: the record says up to ${heldMs} ms, the whole run took ${lifeMs}`)]
}

/** How much later than seen a hold may end by the record, milliseconds. */
function laterLimit(one: Case, to: number, { backAt }: Seen): number {
  if (!dies(one, 'API server') || faults[one.fault] === 'node') return recordMs
  // What was put back as the API server died is proven when it is there again, and its controller has had its time.
  return Math.max(recordMs, backAt + promptMs + blurMs - to)
}

function judgeTarget(one: Case, target: SeenTarget, seen: Seen): Judged {
  const { id, spans, heldMs } = target
  const [span] = spans
  /** of what was never on record as injected, the record says for how long it may have been at most */
  const isBound = target.injectedAt === undefined
  const wrong: Wrong[] = isBound ? claimTrouble(target, seen) : []
  if (!span) {
    if (!isBound && (heldMs ?? 0) > recordMs)
      wrong.push(untrue(`${id} was never hit, the record says ${heldMs} ms`))
    return { wrong }
  }
  if (span.to === undefined) return { wrong: [...wrong, untrue(`${id} is still held`)] }
  const { from, to } = span
  const due = dueOf(one, span, seen, target.endsAt)
  const ms = to - due.from
  if (ms > due.limit + blurMs)
    wrong.push(late(`${id} was clean ${ms} ms after the ${due.clock}, not ${due.limit}`))
  // An effect that takes its time to be complete counts from then on: the record's own beginning is compared.
  const off = (target.injectedAt ?? from) + (heldMs ?? 0) - to
  const isOff = isBound
    ? (heldMs ?? 0) < to - from - blurMs
    : off > laterLimit(one, to, seen) || off < -recordMs
  if (isOff)
    wrong.push(
      late(
        `${id} was held ${to - from} ms, the record says ${heldMs ?? 'nothing'} (off by ${off})`,
      ),
    )
  return { wrong, ms: Math.max(0, ms), clock: due.clock }
}

/** Whether what a run says of itself is what happened. */
function judgeWord(one: Case, seen: Seen): string[] {
  const { verdicts, failStep, targets, holdMs } = seen
  const [verdict, ...more] = verdicts
  if (verdict === undefined) return ['there is no verdict']
  if (more.length > 0) return [`there are ${verdicts.length} verdicts: ${verdicts.join(', ')}`]
  const whole = ({ spans: [s] }: SeenTarget) => (s?.to ?? 0) - (s?.from ?? 0) >= holdMs - sightMs
  if (verdict === 'Pass' && faults[one.fault] !== 'once' && !targets.every(whole))
    return ['the verdict is Pass, and not every target was held to the end']
  if (verdict === 'Pass') return []
  if (verdict === 'Stopped' && one.point === stopPoint) return []
  if (failStep === '') return [`the verdict is ${verdict}, and nothing says why`]
  if (isUnbegun(one, failStep) || isUnguarded(one, seen, failStep)) return []
  if (cutShort(one) || wasLate(one, seen, failStep)) return []
  return [`the run was lost: ${verdict}, ${failStep}`]
}

/** What the product owes in one case, and does not give. */
export function judge(one: Case, seen: Seen): Judged {
  const wrong = [...judgeWord(one, seen).map(untrue), ...leftOf(seen), ...judgeHits(one, seen)]
  if (faults[one.fault] === 'once') {
    if (seen.struck > seen.injections)
      wrong.push(untrue(`${seen.struck} objects were struck, the record says ${seen.injections}`))
    return { wrong }
  }
  const each = seen.targets.map((target) => judgeTarget(one, target, seen))
  wrong.push(...each.flatMap((judged) => judged.wrong))
  const worst = each.filter((j) => j.ms !== undefined).sort((a, b) => (b.ms ?? 0) - (a.ms ?? 0))[0]
  return { ...worst, wrong }
}
