import { expect } from 'vitest'
import { podGroup, processesIn } from '../watchers/cgroups.ts'
import type { Story, World } from './world.ts'

/** Watches of the pods of one application. */
export type Watch = ReturnType<World['watchCpu']>

/** A CPU hog under way, and the CPU of the pods that were there when it began. */
export type Burnt = { cpu: Watch; story: Story }

/** What the target's cgroup shows is no news of the API: it is looked at. */
export const whenStressed = (cpu: Watch, is: boolean, ms: number): Promise<void> =>
  expect
    .poll(() => [...cpu.values()].some((watch) => watch.stressed), { timeout: ms, interval: 20 })
    .toBe(is)

/** When the last stressor was seen to be gone, unix milliseconds; 0: there was none. */
export const lastEnd = (cpu: Watch): number =>
  Math.max(
    0,
    ...[...cpu.values()].flatMap((watch) =>
      watch.holds().map(({ to }) => to ?? Number.POSITIVE_INFINITY),
    ),
  )

/** Begins a run whose target is `app`, and looks at nothing yet. */
export async function begin(world: World, document: object, app: string): Promise<Burnt> {
  const cpu = world.watchCpu(app)
  return { cpu, story: await world.run(document) }
}

/** Begins it and waits until the target burns and is on record as injected. */
export async function hold(world: World, document: object, app: string): Promise<Burnt> {
  const burnt = await begin(world, document, app)
  await whenStressed(burnt.cpu, true, 60_000)
  await burnt.story.injected()
  return burnt
}

/** Begins it and waits until its fault program has its target and waits for the go. */
export async function arm(world: World, document: object, app: string): Promise<Burnt> {
  const burnt = await begin(world, document, app)
  await expect
    .poll(() => burnt.story.run && world.armed(burnt.story.run.runId), {
      timeout: 60_000,
      interval: 50,
    })
    .toBe(1)
  return burnt
}

/** Ends the application in a pod's container; kubelet starts it again. */
export function crash(world: World, app: string): void {
  for (const { metadata } of world.podsOf(app)) {
    const group = podGroup(world.installed.nodes, metadata.uid)
    for (const { pid, command } of group ? processesIn(group) : [])
      if (!command.includes('stress-ng') && command.includes('node')) process.kill(pid, 'SIGKILL')
  }
}
