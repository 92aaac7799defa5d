import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasNetem } from '../stories/pod-network.ts'
import { textsOf } from './judge.ts'
import { pageOf, rowsOf, tableOf } from './report.ts'
import { Stage } from './stage.ts'
import { type Fault, faults, moments, nameOf, turnsOf } from './table.ts'
import { Tries } from './tries.ts'
import { carryOut, type Result } from './turn.ts'

const known = (Object.keys(faults) as Fault[]).filter(
  (fault) => fault !== 'pod-network-latency' || hasNetem(),
)
const leftOut = (Object.keys(faults) as Fault[]).filter((fault) => !known.includes(fault))
const turns = turnsOf(known)
/** No turn is begun after so many minutes; what was not reached is said. */
const minutes = Number(process.env['CHAOSPLANE_KILL_MINUTES'] ?? 120)
const began = performance.now()
const seconds = () => Math.round((performance.now() - began) / 1000)
/** of the last try of each turn */
const results = new Map<string, Result[]>()
const tries = new Tries()
let stage: Stage

beforeAll(async () => {
  stage = await Stage.begin(moments.length + 1)
})
afterAll(async () => {
  const all = [...results.values()].flat()
  console.log(`\n${all.length} cases in ${seconds()} s\n${tableOf(rowsOf(all))}\n`)
  if (process.env['CHAOSPLANE_KILL_PAGE']) {
    const whole = {
      seconds: seconds(),
      all: turns.flatMap(({ cases }) => cases).length,
      again: tries.again(),
      leftOut,
    }
    writeFileSync(join(import.meta.dirname, '../../docs/kill-matrix.md'), pageOf(all, whole))
  }
  await stage?.end()
})

describe('nothing is left behind by the death of', () => {
  it.each(turns.map((turn, i) => [nameOf(turn), turn, i] as const))('%s', async (name, turn, i) => {
    // A matrix that was cut off has not passed.
    if (seconds() > minutes * 60) throw new Error(`not reached within ${minutes} minutes`)
    const before = tries.begin(name)
    const from = Date.now()
    const own = await carryOut(turn, stage, {
      name: `${i}${before > 0 ? 'b' : 'a'}`,
      by: 'order',
    }).catch((error: Error) => {
      tries.note(name, { threw: error.message.slice(0, 300) })
      throw error
    })
    results.set(name, own)
    const bad = own.filter(({ judged }) => judged.wrong.length > 0)
    const worst = own.reduce((a, b) => ((b.judged.ms ?? 0) > (a.judged.ms ?? 0) ? b : a))
    const which = `${worst.judged.ms ?? 0} ms after ${worst.judged.clock} (${worst.one.fault}, ${worst.one.moment})`
    console.log(
      `kill ${seconds()} s  ${i + 1}/${turns.length}  ${name}: ${own.length - bad.length} of ${own.length} survived, worst ${which}`,
    )
    for (const { one, judged, story } of bad)
      console.log(`  ${one.fault}, ${one.moment}: ${textsOf(judged).join('; ')}\n    ${story}`)
    tries.note(name, { wrong: bad.flatMap(({ judged }) => judged.wrong) })
    const upsets = stage.world.clock.since(from)
    if (bad.length > 0 && upsets.length > 0)
      console.log(`  the machine stood still or its clock was set: ${JSON.stringify(upsets)}`)
    expect(bad.map(({ one, judged }) => [one.fault, one.moment, ...textsOf(judged)])).toEqual([])
    expect(tries.forGood(name), 'at the first try').toEqual([])
  })
})
