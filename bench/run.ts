import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { aborts } from './aborts.ts'
import { idle, imageSize } from './cost.ts'
import { abort, leaderKilled } from './endings.ts'
import { finished } from './finished.ts'
import { behindProbe, cold, deletion } from './injections.ts'
import { kills } from './kills.ts'
import { away } from './outages.ts'
import { Place } from './place.ts'
import { Sheet } from './sheet.ts'
import { warm } from './warm.ts'

const started = performance.now()
const limitMs = 11 * 60_000

function say(line: string): void {
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(`bench ${String(seconds).padStart(4)} s  ${line}`)
}

type Family = (place: Place, sheet: Sheet, n: number) => Promise<void>

/** Everything is measured `runs` times; one that fails is said and tried on, and twice in a row ends its family. */
async function repeat(measured: { name: string; family: Family; runs: number }, at: Measuring) {
  const { name, family, runs } = measured
  let failures = 0
  for (let n = 0; n < runs && failures < 2; n++) {
    if (performance.now() - started > limitMs) {
      at.failed.push(`${name}: stopped after ${n} runs, ${limitMs / 60_000} minutes are over`)
      return
    }
    try {
      await family(at.place, at.sheet, n)
      failures = 0
    } catch (e) {
      failures++
      at.failed.push(`${name} ${n + 1}: ${e instanceof Error ? e.message : String(e)}`)
      say(at.failed.at(-1) ?? '')
    }
    if (n % 5 === 4 || n === runs - 1) say(`${name}: ${n + 1} of ${runs}`)
  }
}

type Measuring = { place: Place; sheet: Sheet; failed: string[] }

const families: { name: string; family: Family; once?: boolean; asked?: boolean }[] = [
  { name: 'idle', family: (place, sheet) => idle(place, sheet, 10), once: true },
  { name: 'pod-delete', family: deletion },
  { name: 'cold', family: cold },
  { name: 'warm', family: (place, sheet) => warm(place, sheet, 5), once: true },
  { name: 'probe', family: behindProbe },
  { name: 'abort', family: abort },
  { name: 'leader', family: leaderKilled },
  { name: 'image', family: imageSize, once: true },
  // by name only: they take minutes
  { name: 'aborts', family: aborts, once: true, asked: true },
  { name: 'kills', family: kills, asked: true },
  { name: 'away', family: away, asked: true },
  // by name only: it takes minutes, and leaves the cluster full
  { name: 'finished', family: finished, once: true, asked: true },
]

async function measure(at: Measuring, chosen: typeof families, runs: number): Promise<void> {
  for (const { name, family, once } of chosen) {
    say(`measuring: ${name}`)
    await repeat({ name, family, runs: once ? 1 : runs }, at)
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '10' },
      json: { type: 'string' },
      only: { type: 'string' },
    },
  })
  const runs = Number(values.runs)
  if (!Number.isInteger(runs) || runs < 1) throw new Error('--runs takes a whole number from 1')
  const logService = () =>
    spawnSync(process.execPath, [join(import.meta.dirname, 'log-service.ts')], { stdio: 'inherit' })
  if (positionals[0] === 'log-service') return logService().status ?? 1
  if (positionals.length > 0)
    throw new Error(`unknown: ${positionals.join(' ')}; there is log-service`)
  const only = values.only?.split(',')
  const chosen = families.filter(({ name, asked }) => only?.includes(name) ?? !asked)
  if (chosen.length === 0)
    throw new Error(`--only takes names of ${families.map(({ name }) => name).join(', ')}`)
  const place = await Place.make(say)
  const at: Measuring = { place, sheet: new Sheet(), failed: [] }
  const stop = () => void place.end().finally(() => process.exit(130))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    await measure(at, chosen, runs)
    console.log(`\n${at.sheet.table()}`)
    for (const line of at.failed) console.log(`failed: ${line}`)
    if (values.json) await writeFile(values.json, JSON.stringify(at.sheet, null, 2))
  } finally {
    await place.end()
  }
  say('done')
  return at.failed.length > 0 || (!only && at.sheet.missing().length > 0) ? 1 : 0
}

try {
  process.exitCode = await main()
} catch (e) {
  console.error(`bench: ${e instanceof Error ? e.message : String(e)}`)
  process.exitCode = 1
}
