import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Stage } from '../../kill/stage.ts'
import { nameOf, quickTurns } from '../../kill/table.ts'
import { carryOut } from '../../kill/turn.ts'

const turns = quickTurns()
let stage: Stage
let tries = 0

beforeAll(async () => {
  stage = await Stage.begin(Math.max(...turns.map(({ cases }) => cases.length)))
})
afterAll(() => stage?.end())

/** A few cases of the kill matrix, with the image of the product: `npm run test:kill` runs all of them. */
describe('nothing is left behind by the death of', () => {
  it.each(turns.map((turn) => [nameOf(turn), turn] as const))('%s', async (_name, turn) => {
    const results = await carryOut(turn, stage, { name: `quick-${tries++}`, by: 'sight' })
    for (const { one, judged, story } of results)
      if (judged.wrong.length > 0) console.log(`${one.fault}, ${one.moment}: ${story}`)
      else console.log(`${one.fault}, ${one.moment}: ${judged.ms ?? '–'} ms after ${judged.clock}`)
    expect(results.map(({ judged }) => judged.wrong)).toEqual(results.map(() => []))
  })
})
