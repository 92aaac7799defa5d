import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { setValues } from '../stories/release.ts'
import type { Json } from '../watchers/api.ts'
import { textsOf } from './judge.ts'
import { Stage } from './stage.ts'
import { pointName, pointTurns, type Turn, warmTurns } from './table.ts'
import { Tries } from './tries.ts'
import { carryOut } from './turn.ts'

let stage: Stage
const tries = new Tries()
let runs = 0
let survived = 0
let worst = 0

beforeAll(async () => {
  stage = await Stage.begin(1)
})
afterAll(async () => {
  console.log(`\nrunner at each of its points: ${survived} survived, worst ${worst} ms\n`)
  await stage?.end()
})

async function survives(name: string, turn: Turn): Promise<void> {
  tries.begin(name)
  const [result] = await carryOut(turn, stage, { name: `p${runs++}`, by: 'itself' })
  if (!result) throw new Error('no result')
  const { judged, story } = result
  tries.note(name, judged)
  if (judged.wrong.length > 0) console.log(`${textsOf(judged).join('; ')}\n  ${story}`)
  expect(textsOf(judged)).toEqual([])
  expect(tries.forGood(name), 'at the first try').toEqual([])
  survived++
  worst = Math.max(worst, judged.ms ?? 0)
}

describe('nothing is left behind by a runner that ends itself at', () => {
  it.each(pointTurns().map((turn) => [pointName(turn), turn] as const))('%s', survives)
})

describe('nor by one that finds a warm pod, at', () => {
  beforeAll(() => setValues(stage.world, 'runner.warm=idle'))
  afterAll(() => setValues(stage.world, 'runner.warm=none'))

  it.each(warmTurns().map((turn) => [pointName(turn), turn] as const))('%s', async (name, turn) => {
    const { uid } = (await waiting()).metadata
    await survives(`warm, ${name}`, turn)
    const isClaimed = stage.world.pods.history.some(
      ({ object: { metadata } }) =>
        metadata.uid === uid && metadata.labels[warmLabel] === 'claimed',
    )
    // it ends itself before the claim, and who comes after it looks for what it may have made
    expect(isClaimed).toBe(!name.startsWith('runner/pod-recorded'))
  })
})

const warmLabel = 'chaos.chaosplane.io/warm'

/** A pod that a run before has left beside the targets, and that works for nobody. */
async function waiting(): Promise<Json> {
  const { world } = stage
  const { fault, slot } = { fault: 'pod-network-loss', slot: 0 } as const
  const isUp = ({ status }: Json) =>
    status.containerStatuses?.length === 2 &&
    status.containerStatuses.every(({ state }: Json) => state.running)
  const free = () =>
    [...world.pods.objects.values()].filter(
      ({ metadata }) => metadata.labels?.[warmLabel] === 'free' && !metadata.deletionTimestamp,
    )
  // one of an earlier run may be about to end
  const isYoung = ({ metadata }: Json) =>
    Date.now() - Date.parse(metadata.creationTimestamp) < youngMs
  if (!free().some(isYoung)) {
    const document = stage.document(`leaves-${runs++}`, { fault, slot, holdMs: 2000, env: {} })
    const story = await world.run(document)
    expect((await story.finished()).verdict).toBe('Pass')
    await world.api.remove(story.path)
  }
  return await world.pods.until('a warm pod that waits', 60_000, () =>
    free().find((pod) => isYoung(pod) && isUp(pod)),
  )
}
/** It lives for five minutes, and a case takes less than one. */
const youngMs = 180_000
