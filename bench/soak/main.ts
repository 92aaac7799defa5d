import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Json } from '../../test-e2e/watchers/api.ts'
import { podGroup, processesIn } from '../../test-e2e/watchers/cgroups.ts'
import { leaderName } from '../endings.ts'
import { Place } from '../place.ts'
import { reasonLines, verdictTable } from './figures.ts'
import { differences, type Surroundings, surroundings } from './leaks.ts'
import { courseLine, courseOf, grows, type MemorySample } from './memory.ts'
import { type Outcome, runOne } from './one.ts'
import { type Planned, planOf } from './plan.ts'

const started = performance.now()
function say(line: string): void {
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(`soak ${String(seconds).padStart(4)} s  ${line}`)
}

type Options = { experiments: number; minutes: number; seed: number; lanes: number }

function optionsOf(): Options {
  const { values } = parseArgs({
    options: {
      experiments: { type: 'string', default: '500' },
      minutes: { type: 'string', default: '30' },
      seed: { type: 'string', default: '1' },
      lanes: { type: 'string', default: '6' },
    },
  })
  const number = (name: keyof typeof values): number => {
    const value = Number(values[name])
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`--${name} takes a whole number from 1, not "${values[name]}"`)
    return value
  }
  return {
    experiments: number('experiments'),
    minutes: number('minutes'),
    seed: number('seed'),
    lanes: number('lanes'),
  }
}

/** One soak under way. */
type Soak = {
  place: Place
  options: Options
  left: Planned[]
  begun: number
  outcomes: Outcome[]
  wrong: string[]
  memory: { runner: MemorySample[]; leader: MemorySample[] }
}

/** One target, and one experiment after the other on it, each at its time. */
async function lane(soak: Soak, app: string, startedAt: number): Promise<void> {
  const { options, place } = soak
  const paceMs = (options.minutes * 60_000) / options.experiments
  for (;;) {
    const planned = soak.left.shift()
    if (!planned) return
    const dueMs = startedAt + soak.begun++ * paceMs - performance.now()
    if (dueMs > 0) await delay(dueMs)
    if (performance.now() - startedAt > options.minutes * 60_000) {
      soak.left.unshift(planned)
      soak.begun--
      return
    }
    try {
      const outcome = await runOne(place, planned, app)
      soak.outcomes.push(outcome)
      for (const wrong of outcome.wrong) tellWrong(soak, `${planned.name}: ${wrong}`)
    } catch (e) {
      const { fault, kill } = planned
      const what = `${planned.name} (${fault}, ${kill?.victim ?? 'nobody'} to be killed)`
      tellWrong(soak, `${what}: ${e instanceof Error ? e.message : String(e)}`)
      say(JSON.stringify(place.runs.get('v2', planned.name)?.status ?? 'gone'))
    }
  }
}

function tellWrong(soak: Soak, line: string): void {
  soak.wrong.push(line)
  say(`WRONG  ${line}`)
}

/** Every ten seconds: a line of progress, and the memory of runner and leader. */
async function look(soak: Soak, signal: AbortSignal): Promise<void> {
  const { place, memory, options } = soak
  for (let n = 0; !signal.aborted; n++) {
    const leader = await leaderName(place).catch(() => '')
    const [runner] = place.podsOf('app.kubernetes.io/component', 'runner')
    const operator = place.pods.get('chaosplane', leader)
    memory.runner.push(...memoryOfProgram(place, runner, 'runner.cjs'))
    memory.leader.push(...memoryOfProgram(place, operator, 'operator'))
    if (n % 6 === 0) {
      const killed = soak.outcomes.filter((o) => o.killed).length
      const [r, l] = [memory.runner.at(-1)?.mb, memory.leader.at(-1)?.mb].map(
        (mb) => mb?.toFixed(0) ?? '–',
      )
      say(
        `${soak.outcomes.length} of ${options.experiments} over, ${killed} kills, ${soak.wrong.length} wrong; runner ${r} MB, leader ${l} MB`,
      )
    }
    await delay(5_000, undefined, { signal }).catch(() => {})
  }
}

function memoryOfProgram(place: Place, pod: Json, part: string): MemorySample[] {
  const group = pod && podGroup(place.cluster.nodes, pod.metadata.uid)
  const [program] = (group ? processesIn(group) : []).filter(({ command }) =>
    command.includes(part),
  )
  if (!program) return []
  try {
    const text = readFileSync(`/proc/${program.pid}/status`, 'utf8')
    const mb = (Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024) / 1e6
    return [{ at: performance.now(), pid: program.pid, mb }]
  } catch {
    // it has just been killed
    return []
  }
}

/** Waits until all is as before, or tells what is not. */
async function leaks(soak: Soak, before: Surroundings, apps: string[]): Promise<string[]> {
  const end = performance.now() + settleMs
  for (;;) {
    const left = differences(before, await surroundings(soak.place, apps))
    if (left.length === 0 || performance.now() > end) return left
    await delay(1_000)
  }
}

/** Pods that were killed last come back, and kubelet counts what has gone. */
const settleMs = 90_000

async function prepare(place: Place, apps: string[]): Promise<Surroundings> {
  const rbac = 'rbac.authorization.k8s.io'
  await place.api.create(`/apis/${rbac}/v1/clusterrolebindings`, {
    metadata: { name: 'soak' },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'chaosplane-experiment' },
    subjects: [{ kind: 'ServiceAccount', name: 'litmus', namespace: 'v2' }],
  })
  await place.targets(Object.fromEntries(apps.map((app) => [app, 1])))
  await delay(3_000)
  return await surroundings(place, apps)
}

function print(soak: Soak, left: string[]): boolean {
  const { outcomes, options, wrong, memory } = soak
  const [runner, leader] = [courseOf(memory.runner), courseOf(memory.leader)]
  const minutes = ((performance.now() - started) / 60_000).toFixed(1)
  const killed = outcomes.filter((o) => o.killed).length
  console.log(
    `\n${outcomes.length} of ${options.experiments} experiments, seed ${options.seed}, ${killed} kills, ${minutes} min with the cluster's start`,
  )
  if (soak.left.length > 0) console.log(`${soak.left.length} were not begun: the time was over`)
  console.log(verdictTable(outcomes))
  console.log(['not passed', ...reasonLines(outcomes)].join('\n'))
  console.log(courseLine('memory (RSS), runner', runner))
  console.log(courseLine('memory (RSS), operator that leads', leader))
  for (const line of wrong) console.log(`wrong: ${line}`)
  for (const line of left) console.log(`leak: ${line}`)
  const growing = [runner, leader].some((course) => course && grows(course))
  const isWhole = soak.left.length === 0 && outcomes.length === options.experiments && killed > 0
  const good = wrong.length === 0 && left.length === 0 && !growing && isWhole
  console.log(
    good
      ? 'nothing is left: no open record, pod, finalizer, lease, journal, process or changed target'
      : 'FAILED',
  )
  return good
}

async function main(): Promise<number> {
  const options = optionsOf()
  const place = await Place.make(say)
  const stop = () => void place.end().finally(() => process.exit(130))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const looking = new AbortController()
  try {
    const apps = Array.from({ length: options.lanes }, (_, n) => `soak-${n}`)
    const before = await prepare(place, apps)
    const soak: Soak = {
      place,
      options,
      left: planOf(options),
      begun: 0,
      outcomes: [],
      wrong: [],
      memory: { runner: [], leader: [] },
    }
    say(`${options.experiments} experiments in ${options.minutes} min, seed ${options.seed}`)
    const looked = look(soak, looking.signal)
    const from = performance.now()
    await Promise.all(apps.map((app) => lane(soak, app, from)))
    looking.abort()
    await looked
    say('looking for what is left')
    return print(soak, await leaks(soak, before, apps)) ? 0 : 1
  } finally {
    looking.abort()
    await place.end()
  }
}

try {
  process.exitCode = await main()
} catch (e) {
  console.error(`soak: ${e instanceof Error ? e.message : String(e)}`)
  process.exitCode = 1
}
