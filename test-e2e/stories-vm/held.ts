import { expect } from 'vitest'
import { cpuHog, experiment, networkLatency } from '../stories/documents.ts'
import type { Story } from '../stories/world.ts'
import type { Json } from '../watchers/api.ts'
import type { SlownessWatch, StressWatch } from '../watchers/machine.ts'
import type { Guest } from './guest.ts'

/** An effect ends within this after its own deadline, milliseconds: the promise. */
const boundMs = 2000
const delayMs = 300

/** Two faults that are held on the machine at the same time: one lives in processes, the other in the kernel. */
export type Held = {
  story: Story
  burnt: Json
  slow: Json
  before: { burnt: string; slow: string }
  stress: StressWatch
  slowness: SlownessWatch
}

/** Makes the two targets. */
export async function makeTargets(guest: Guest): Promise<void> {
  await Promise.all([guest.target('burnt'), guest.target('slow')])
}

/** Begins an experiment of both faults in one step and waits until both are on record as injected. */
export async function hold(guest: Guest, name: string, seconds: number): Promise<Held> {
  const [burnt, slow] = [await guest.pod('burnt'), await guest.pod('slow')]
  const before = { burnt: await guest.state(burnt), slow: await guest.state(slow) }
  const stress = guest.watchStress(burnt)
  const slowness = guest.watchSlowness(slow, delayMs / 2)
  // Both pods are up when it begins: while one starts, an effect of the other may not show in time on this processor.
  const ramp = { RAMP_TIME: 20 }
  const env = { ...ramp, NETWORK_LATENCY: `${delayMs}ms` }
  const tasks = [cpuHog('burnt', seconds, { env: ramp }), networkLatency('slow', seconds, { env })]
  const steps = [tasks.map((task) => ({ name: task.name }))]
  const story = await guest.world.run(experiment(name, tasks, { steps }))
  await story.until('both injected', 120_000, ({ targets }) => {
    return targets.length === 2 && targets.every(({ state }) => state === 'injected')
  })
  expect(await guest.state(slow)).toContain(`delay ${delayMs}ms`)
  expect(stress.holds()).toHaveLength(1)
  return { story, burnt, slow, before, stress, slowness }
}

/** Waits until neither effect can be seen any more; when each was over, by who watched it. */
export async function bothOver({ stress, slowness }: Held, ms: number) {
  const ends = () => ({ burnt: stress.holds()[0]?.to, slow: slowness.spans()[0]?.to })
  await expect
    .poll(() => Object.values(ends()).every((end) => end !== undefined), { timeout: ms })
    .toBe(true)
  return ends() as { burnt: number; slow: number }
}

/** Each target was hit once, held as long as was asked, and is on record as put back. */
export function expectHeldInFull({ targets, run }: Story, seconds: number): void {
  expect(run.tasks.map(({ injections }: Json) => injections)).toEqual([1, 1])
  for (const { state, outcome, heldMs } of targets) {
    expect({ state, outcome }).toEqual({ state: 'reverted', outcome: 'restored' })
    // an effect that takes long to be seen on such a processor counts from the act
    expect(heldMs).toBeGreaterThan(seconds * 1000 - 2500)
    expect(heldMs).toBeLessThan(seconds * 1000 + boundMs + 500)
  }
}

/** All that was ever said as the verdict of a run, but that there is none yet. */
export const verdictsOf = (story: Story): string[] => {
  const all = story.history.map(({ object }) => object.status?.verdict)
  return [...new Set(all)].filter((verdict) => verdict && verdict !== 'Awaited')
}

/** Pods and machine are as before, and of the run nothing is left; the pods may have got other containers meanwhile. */
export async function expectNothingLeft(guest: Guest, { story, before }: Held): Promise<void> {
  const [burnt, slow] = [await guest.pod('burnt'), await guest.pod('slow')]
  expect(plain(await guest.state(burnt))).toBe(plain(before.burnt))
  expect(plain(await guest.state(slow))).toBe(plain(before.slow))
  await expectNoResidue(guest, story)
}

/** A kubelet on such a processor takes its time with pods that are told to go, longest when it has just booted. */
const residueMs = 150_000

/** Nothing is left of a run, at the latest when kubelet has ended its pods; how long that took is told. */
export async function expectNoResidue(
  guest: Guest,
  story: Story,
  isOurs: (line: string) => boolean = () => true,
): Promise<void> {
  const look = async () => (await guest.residue(story)).filter(isOurs)
  const from = Date.now()
  let left = await look()
  const first = left
  while (left.length > 0 && Date.now() - from < residueMs) left = await look()
  if (first.length > 0) console.log(`left for ${Date.now() - from} ms: ${first.join(', ')}`)
  expect(left).toEqual([])
}

/** Without what every interface has of its own. */
const plain = (state: string): string =>
  state.replace(/^\d+: eth0@if\d+/gm, 'eth0').replace(/link\/ether \S+/g, 'link/ether')

/** Kills a component of the machine in mid-hold, sees both faults end at their own deadline, starts it again, and hears a Pass. */
export async function endsByItself(
  guest: Guest,
  component: 'kubelet' | 'containerd',
  seconds: number,
): Promise<void> {
  const held = await hold(guest, `${component}-dies`, seconds)
  const { story } = held
  const deadlines = Object.fromEntries(story.targets.map(({ name, endsAt }) => [name, endsAt]))
  // Stressors are watched by the machine's clock, and on record by the runner's.
  const ahead = { burnt: await guest.aheadMs(), slow: 0 }
  console.log(`the machine's clock is ${Math.round(ahead.burnt)} ms ahead`)
  await guest.machine.kill(component)
  try {
    const ends = await bothOver(held, 60_000)
    for (const app of ['burnt', 'slow'] as const) {
      const late = ends[app] - ahead[app] - deadlines[held[app].metadata.name]
      console.log(`${component} killed: ${app} ended ${Math.round(late)} ms after its deadline`)
      expect(late).toBeGreaterThan(-1000)
      expect(late).toBeLessThan(boundMs)
    }
    expect(verdictsOf(story)).toEqual([])
  } finally {
    await guest.machine.start(component)
  }
  const status = await story.finished(180_000)
  expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
  expectHeldInFull(story, seconds)
  expect(verdictsOf(story)).toEqual(['Pass'])
  await expectNothingLeft(guest, held)
}

/** Lets the machine go down and boot in mid-fault: each target is on record as cut short, once, and nothing is left. */
export async function endsWithTheMachine(
  guest: Guest,
  name: string,
  downAndUp: () => Promise<void>,
): Promise<void> {
  const held = await hold(guest, name, 300)
  const { story } = held
  const from = Date.now()
  await downAndUp()
  const back = Date.now()
  const status = await story.finished(180_000)
  console.log(`${name}: Ready after ${back - from} ms, verdict ${Date.now() - back} ms later`)
  expect(status).toMatchObject({ phase: 'Error', verdict: 'Error' })
  expect(verdictsOf(story)).toEqual(['Error'])
  for (const task of status.run.tasks) {
    expect(task.injections).toBe(1)
    expect(task.trouble.code).toBe('CUT_SHORT')
  }
  for (const target of story.targets) {
    console.log(JSON.stringify(target))
    expect(target.state).toBe('reverted')
    expect(target.injectedAt + target.heldMs).toBeLessThan(back)
  }
  await expectNothingLeft(guest, held)
}
