import fc from 'fast-check'
import { afterEach, beforeEach, it, vi } from 'vitest'
import type { TargetState } from '../../model/state.ts'
import { Simulation } from './simulation/run.ts'
import { truthKey } from './simulation/targets.ts'
import { planOf, probeState, taskPlan } from './testing.ts'

/** More for a night: `CHAOSPLANE_PROPERTY_RUNS=20000 vitest run --testTimeout 0`. */
const forANight = process.env['CHAOSPLANE_PROPERTY_RUNS']
const numRuns = Number(forANight ?? 200)
const holdMs = 2000
/** Each round gives everything that can happen one turn, and lets this pass. */
const roundMs = 250
const mostRounds = 1500

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: 1e9 }))
afterEach(() => vi.useRealTimers())

const modes = ['SOT', 'EOT', 'Edge', 'Continuous', 'OnChaos', 'AbortWhen'] as const
const task = fc.record({
  fault: fc.constantFrom('pod-cpu-hog', 'pod-delete', 'node-taint'),
  sequence: fc.constantFrom('parallel' as const, 'serial' as const),
  rampMs: fc.constantFrom(0, 0, 100),
  health: fc.boolean(),
  keepsNames: fc.boolean(),
  nodes: fc.array(fc.constantFrom('n1', 'n2'), { minLength: 1, maxLength: 3 }),
  probes: fc.uniqueArray(fc.constantFrom(...modes), { maxLength: 3 }),
})
type Task = typeof task extends fc.Arbitrary<infer T> ? T : never

/** One choice: an ordinary step, or one time in eight something that nobody wishes for. */
const choice = fc.nat(4000)
const script = fc.array(choice, { maxLength: 250, size: 'max' })
const steps = fc.array(fc.array(task, { minLength: 1, maxLength: 2 }), {
  minLength: 1,
  maxLength: 3,
})

const flush = () => new Promise((resolve) => setImmediate(resolve))

function simulate(tasks: Task[][], next: () => number): Simulation {
  const flat = tasks.flatMap((step, i) => step.map((t, k) => ({ ...t, name: `t${i}${k}` })))
  const plans = flat.map((t) =>
    taskPlan(t.name, {
      fault: t.fault,
      sequence: t.sequence,
      rampMs: t.rampMs,
      durationMs: 15_000,
      healthCheck: t.health ? { delayMs: 10, timeoutMs: 10 } : null,
    }),
  )
  const order = tasks.map((step, i) => step.map((_, k) => `t${i}${k}`))
  const of = (name: string) => flat.find((t) => t.name === name) as Task
  return new Simulation({
    plan: planOf(plans, order),
    nodesOf: Object.fromEntries(flat.map((t) => [t.name, t.nodes])),
    keepsNames: (name) => of(name).keepsNames,
    probes: (name) => of(name).probes.map((mode) => probeState(mode, mode)),
    next,
    now: () => Date.now(),
    pass: (ms) => void vi.advanceTimersByTime(ms),
    holdMs,
  })
}

async function play(tasks: Task[][], choices: number[]) {
  const left = [...choices]
  const trace: string[] = []
  const sim = simulate(tasks, () => left.shift() ?? 0)
  const check = (): void => {
    if (sim.targets.violations.length > 0)
      throw new Error(`${sim.targets.violations.join('; ')}\n${trace.join('\n')}`)
  }
  while (left.length > 0 && !sim.done) {
    await flush()
    const n = left.shift() as number
    const ordinary = n % 8 === 0 ? [] : sim.steps()
    const options = ordinary.length > 0 ? ordinary : sim.upsets()
    const chosen = options[Math.floor(n / 8) % options.length]
    trace.push(chosen?.name ?? '')
    chosen?.run()
    await flush()
    check()
  }
  sim.settle()
  let rounds = 0
  for (; !sim.done && rounds < mostRounds; rounds++) {
    for (const { name } of sim.steps()) {
      const still = sim.steps().find((s) => s.name === name)
      if (still) trace.push(name)
      still?.run()
      await flush()
      check()
    }
    vi.advanceTimersByTime(roundMs)
    await flush()
  }
  return { sim, trace, rounds }
}

/** What stands in the record against what happened. */
function disagreements(sim: Simulation): string[] {
  const recorded = new Map<string, TargetState>(
    (sim.stored?.tasks ?? []).flatMap((t) =>
      t.targets.map((one) => [truthKey(t.fault, one), one] as const),
    ),
  )
  const counted = (sim.stored?.tasks ?? []).flatMap(({ name, injections }) => {
    const hit = [...sim.targets.all].filter(([id, t]) => id.startsWith(`${name}/`) && t.injects > 0)
    return injections > hit.length ? [`${name}: ${injections} injections of ${hit.length}`] : []
  })
  const wrong = [...sim.targets.all].flatMap(([id, { injects, reverts, held }]) => {
    const state = recorded.get(id)?.state
    return [
      ...(held ? [`${id} is still held`] : []),
      ...(reverts < injects ? [`${id}: ${injects} injects, ${reverts} reverts`] : []),
      ...(injects > 0 && state !== 'reverted' && state !== 'failed' ? [`${id} is ${state}`] : []),
    ]
  })
  return [...counted, ...wrong]
}

it('whatever dies and in whatever order facts come: hit once, put back, one verdict, an end', async () => {
  await fc.assert(
    fc.asyncProperty(steps, script, async (tasks, choices) => {
      const { sim, trace, rounds } = await play(tasks, choices)
      const story = () => `${trace.join('\n')}\n${JSON.stringify(sim.state, null, 1)}`
      if (!sim.done) throw new Error(`no end after ${rounds} rounds\n${story()}`)
      const wrong = disagreements(sim)
      if (wrong.length > 0) throw new Error(`${wrong.join('; ')}\n${story()}`)
      if (sim.verdicts.size !== 1) throw new Error(`verdicts ${[...sim.verdicts]}\n${story()}`)
    }),
    // A smaller example is looked for when there is time for it.
    { numRuns, endOnFailure: !forANight },
  )
}, 120_000)
