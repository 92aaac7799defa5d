import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { textsOf } from './judge.ts'
import { Stage } from './stage.ts'
import { pointName, pointTurns } from './table.ts'
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

describe('nothing is left behind by a runner that ends itself at', () => {
  it.each(pointTurns().map((turn) => [pointName(turn), turn] as const))(
    '%s',
    async (name, turn) => {
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
    },
  )
})
