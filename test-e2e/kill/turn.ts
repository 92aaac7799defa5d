import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { crashFile, crashText } from '../../lib/crash.ts'
import type { Story, World } from '../stories/world.ts'
import type { Json } from '../watchers/api.ts'
import { Death, pidOf } from './death.ts'
import {
  type Judged,
  judge,
  judgeHits,
  type Seen,
  type SeenTarget,
  stopPoint,
  type Wrong,
} from './judge.ts'
import { isOnNode, nodeFolder, type Stage } from './stage.ts'
import { type Case, faults, isPrivate, placeOf, type Turn } from './table.ts'
import type { Watch } from './watches.ts'

/** All cases of a turn come to their moments within this, milliseconds. */
const standMs = 45_000
const finishMs = 180_000
const residueMs = 30_000
/** From the end of a run on record until its resource is let go. */
const lastMs = 2000
const bornMs = 10_000
/** Cases in which only somebody of their own dies begin so long after one another. */
const apartMs = 3000
/** How long a run is armed that is not told to stand, seconds. */
const rampSeconds = 6

export type Result = { one: Case; judged: Judged; story: string }

/** One case on its way. */
type Act = {
  one: Case
  slot: number
  holdMs: number
  name: string
  watches: Map<string, Watch>
  story: Story
  from: number
  /** when it came to its moment */
  stoodAt: number
  /** why it is no case: it never came to its moment */
  astray: string
}

/** What ends a hold early is told from its end only if that is far away. */
function holdOf({ moment, victims, fault }: Case): number {
  if (moment === 'reverting' || moment === 'reverted') return 4000
  if (faults[fault] === 'once') return 4000
  const isCut = victims.some((v) => v === 'program' || v === 'fault pod')
  return isCut && moment !== 'armed' && moment !== 'planned' ? 13_000 : 9000
}

/** Where the program that comes to the point looks for its orders. */
const foldersOf = (one: Case, ofRunner: string[]): string[] =>
  placeOf(one).point.startsWith('program/') ? [nodeFolder] : ofRunner

function order({ one, name }: Act, stage: Stage, how: 'stop' | 'kill'): void {
  const { point, time } = placeOf(one)
  const folders = foldersOf(one, stage.crashFolders())
  for (const folder of folders) {
    mkdirSync(folder, { recursive: true })
    chmodSync(folder, 0o777)
    const file = crashFile(folder, name, point)
    writeFileSync(file, crashText({ how, time }))
    chmodSync(file, 0o666)
  }
}

const reachedFiles = ({ one, name }: Act, folders: string[]): string[] =>
  foldersOf(one, folders).map((folder) => `${crashFile(folder, name, placeOf(one).point)}.reached`)

/** What is seen of a run that has come to a moment, where no program can be told to stand still there. */
function isSeenAt({ one, story }: Act, world: World): boolean {
  if (!story.run) return false
  if (one.moment === 'armed')
    return isOnNode(one.fault)
      ? world.armed(story.run.runId) >= 2
      : story.run.tasks[0].stage === 'ramp-up'
  return story.targets.length > 0 && story.targets.every(({ injectedAt }) => injectedAt)
}

async function stand(act: Act, is: () => boolean): Promise<void> {
  let end = Date.now() + standMs
  let isOver = false
  while (!is()) {
    // the last points come when the end is on record
    if (!isOver && act.story.run?.finishedAt) {
      isOver = true
      end = Date.now() + lastMs
    }
    if (Date.now() > end) {
      act.astray = `it never came to ${placeOf(act.one).point}: ${JSON.stringify(act.story.run?.tasks[0]?.trouble ?? act.story.run?.tasks[0] ?? act.story.status)}`
      return
    }
    await delay(10)
  }
  act.stoodAt = Date.now()
}

const programOf = (act: Act, stage: Stage): Json =>
  act.story.run && stage.world.faultPods(act.story.run.runId)[0]

async function begin(one: Case, slot: number, { stage, how }: { stage: Stage; how: How }) {
  const name = `kill-${how.name}-${slot}`
  const holdMs = holdOf(one)
  const watches = await stage.watch(one.fault, slot)
  const ramp = how.by === 'sight' && one.moment === 'armed' ? { RAMP_TIME: rampSeconds } : {}
  const document = stage.document(name, { fault: one.fault, slot, holdMs, env: ramp })
  const story = stage.world.follow(document)
  const act: Act = {
    one,
    slot,
    holdMs,
    name,
    watches,
    story,
    from: Date.now(),
    stoodAt: 0,
    astray: '',
  }
  if (how.by !== 'sight') order(act, stage, how.by === 'order' ? 'stop' : 'kill')
  return { act, document }
}

/** Kills who belongs to this case alone. */
async function killOwn({ one, story }: Act, stage: Stage): Promise<void> {
  const { world } = stage
  if (!one.victims.some(isPrivate)) return
  // Its program may stand still before our watch of the pods has told of it.
  const pod = await world.pods.until('the fault pod', 10_000, () =>
    story.run ? world.faultPods(story.run.runId)[0] : undefined,
  )
  if (one.victims.includes('guard')) await killOnce(world, pod, 'guard.sh')
  if (one.victims.includes('program')) await killOnce(world, pod, 'fault-pod.cjs')
  if (one.victims.includes('fault pod')) await world.forceDelete(pod)
}

/** A program may be armed while its guard's container is still being made: who is not there yet is waited for. */
async function killOnce(world: World, pod: Json, part: string): Promise<void> {
  for (const end = Date.now() + bornMs; ; await delay(20)) {
    try {
      world.kill(pod, part)
      return
    } catch (error) {
      if (Date.now() > end) throw error
    }
  }
}

/** Whoever comes here was told to end early. */
async function stopped({ story }: Act): Promise<void> {
  await story.injected(standMs)
  await story.abort()
}

/** Who was only held up goes on. */
function goOn(act: Act, stage: Stage, folders: string[]): void {
  const files = reachedFiles(act, folders)
  if (isOnNode(act.one.fault)) {
    const pod = programOf(act, stage)
    const pid = pod && pidOf(stage.world, pod, 'fault-pod.cjs')
    if (pid !== undefined) process.kill(pid, 'SIGCONT')
  }
  for (const file of files) rmSync(file, { force: true })
}

async function residueOf({ story }: Act): Promise<string[]> {
  const end = Date.now() + residueMs
  for (;;) {
    const left = story.run ? await story.residue() : []
    if (left.length === 0 || Date.now() > end) return left
    await delay(200)
  }
}

const verdictsOf = (story: Story): string[] => [
  ...new Set(
    story.history
      .map(({ object }) => object.status?.verdict)
      .filter((v) => v !== undefined && v !== '' && v !== 'Awaited'),
  ),
]

async function seenOf(act: Act, name: string, watch: Watch): Promise<SeenTarget> {
  const record = act.story.targets.find((target) => target.name === name)
  return {
    id: name,
    spans: watch.spans(),
    most: watch.most(),
    difference: await watch.difference(),
    injectedAt: record?.injectedAt,
    heldMs: record?.heldMs,
    endsAt: record?.endsAt,
  }
}

/**
 * `order`: programs stand still where they are told to; `sight`: they are not, and the moment is that in which they die;
 * `itself`: who is told to end there ends by itself.
 */
export type How = { name: string; by: 'order' | 'sight' | 'itself' }

type Times = { killedAt: number; backAt: number }

/** Why it is no case to be judged: it never came to its moment, or does not end. */
async function astrayOf({ astray, story }: Act): Promise<Wrong[]> {
  if (astray) return [{ kind: 'time', text: astray }]
  try {
    await story.finished(finishMs)
    return []
  } catch (error) {
    const why = error instanceof Error ? error.message.slice(0, 1500) : String(error)
    // longer than anything that a run may wait for
    return [{ kind: 'truth', text: `it does not end: ${why}` }]
  }
}

async function ending(act: Act, stage: Stage, { killedAt, backAt }: Times): Promise<Result> {
  const { one, story, watches, holdMs, slot } = act
  const told = await astrayOf(act)
  const lifeMs = Date.now() - act.from
  const residue = await residueOf(act)
  await stage
    .settled([slot])
    .catch(({ message }: Error) => told.push({ kind: 'time', text: message }))
  const task = story.status.tasks?.[0] ?? {}
  const seen: Seen = {
    killedAt,
    stoodMs: killedAt - act.stoodAt,
    backAt,
    holdMs,
    lifeMs,
    struck: stage.struck(slot, act.from),
    targets: await Promise.all([...watches].map(([name, watch]) => seenOf(act, name, watch))),
    verdicts: verdictsOf(story),
    failStep: task.failStep ?? '',
    injections: story.run?.tasks[0]?.injections ?? 0,
    residue,
  }
  const judged = told.length > 0 ? { wrong: [...told, ...judgeHits(one, seen)] } : judge(one, seen)
  return { one, judged, story: JSON.stringify({ seen, run: story.run, status: task }) }
}

type Begun = Awaited<ReturnType<typeof begin>>
type Doom = { stage: Stage; how: How; death: Death }

/** Lets some cases come to their moments, kills for all of them at once, and says what became of each. */
async function together(all: Begun[], { stage, how, death }: Doom): Promise<Result[]> {
  const { world } = stage
  const acts = all.map(({ act }) => act)
  const folders = stage.crashFolders()
  await Promise.all(
    all.map(({ act, document }) =>
      world.api.create(act.story.path.slice(0, act.story.path.lastIndexOf('/')), document),
    ),
  )
  const isThere = (act: Act) =>
    how.by === 'sight' ? isSeenAt(act, world) : reachedFiles(act, folders).some(existsSync)
  await Promise.all(
    acts.map(async (act) => {
      const standing = stand(act, () => isThere(act))
      if (act.one.point === stopPoint) await stopped(act)
      await standing
    }),
  )
  const there = acts.filter(({ astray }) => astray === '')
  const killedAt = Date.now()
  if (how.by !== 'itself') {
    await Promise.all(there.map((act) => killOwn(act, stage)))
    await death.strike()
  }
  for (const act of acts) goOn(act, stage, folders)
  const backAt = await death.back()
  return await Promise.all(acts.map((act) => ending(act, stage, { killedAt, backAt })))
}

/** One after the other: a node has to start the pods of one case anew, not those of all. */
async function apart(all: Begun[], doom: Doom): Promise<Result[]> {
  const each = all.map(async (one, i) => {
    await delay(i * apartMs)
    return await together([one], doom)
  })
  // Whatever one of them meets, nothing of this turn may go on into the next one.
  await Promise.allSettled(each)
  return (await Promise.all(each)).flat()
}

/** Carries out all cases of a turn; who is shared dies once for all of them. */
export async function carryOut(turn: Turn, stage: Stage, how: How): Promise<Result[]> {
  const { world } = stage
  const slots = turn.cases.map((_one, slot) => slot)
  await stage.settled(slots)
  const death = await Death.of(world, turn.victims)
  const all = await Promise.all(turn.cases.map((one, slot) => begin(one, slot, { stage, how })))
  try {
    return await (turn.victims.every(isPrivate) ? apart : together)(all, { stage, how, death })
  } finally {
    for (const { act } of all) {
      for (const watch of act.watches.values()) watch.close()
      await world.api.remove(act.story.path)
    }
    await death.refresh()
  }
}
