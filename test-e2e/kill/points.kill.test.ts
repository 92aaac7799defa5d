import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Stage } from './stage.ts'
import { pointName, pointTurns } from './table.ts'
import { carryOut } from './turn.ts'

let stage: Stage
let tries = 0
let survived = 0
let worst = 0

beforeAll(async () => {
  stage = await Stage.begin(1)
})
afterAll(async () => {
  console.log(`\nrunner at each of its points: ${survived} survived, worst ${worst} ms\n`)
  await stage?.end()
})

describe('nothing is left behind by a runner that ends itself at', () => {
  it.each(pointTurns().map((turn) => [pointName(turn), turn] as const))('%s', async (_, turn) => {
    const [result] = await carryOut(turn, stage, { name: `p${tries++}`, by: 'itself' })
    const { judged, story } = result ?? { judged: { wrong: ['no result'] }, story: '' }
    if (judged.wrong.length > 0) console.log(`${judged.wrong.join('; ')}\n  ${story}`)
    expect(judged.wrong).toEqual([])
    survived++
    worst = Math.max(worst, judged.ms ?? 0)
  })
})
