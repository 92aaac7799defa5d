import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { attachMachine, type Machine } from '../cluster/vm/machine.ts'
import { cpuHog, experiment, networkLoss } from '../stories/documents.ts'
import { type Story, World } from '../stories/world.ts'
import { Guest } from './guest.ts'

let world: World
let guest: Guest

beforeAll(async () => {
  world = await World.begin()
  guest = new Guest(world, attachMachine(world.installed))
  await Promise.all(['hog-dark', 'lose-dark'].map((name) => guest.target(name)))
})
afterAll(() => world?.end())

const powerLoss = async (machine: Machine) => {
  await machine.powerOff()
  await delay(3000)
  await machine.boot()
}

const ways: [name: string, boot: (machine: Machine) => Promise<void>][] = [
  ['a power loss', powerLoss],
  ['a reboot', (machine) => machine.reboot()],
]

it.each(ways)(
  '%s in mid-fault: nothing is left when the node is back, and it is told as cut short',
  async (name, boot) => {
    const { machine } = guest
    const before = await Promise.all(
      ['hog-dark', 'lose-dark'].map(async (app) => await guest.state(await guest.pod(app))),
    )
    const id = name.replaceAll(' ', '-')
    const [hog, lose] = await Promise.all([
      world.run(experiment(`hog-${id}`, [cpuHog('hog-dark', 300)])),
      world.run(experiment(`lose-${id}`, [networkLoss('lose-dark', 300)])),
    ])
    await Promise.all([hog.injected(120_000), lose.injected(120_000)])
    await delay(5000)
    const cut = Date.now()
    await boot(machine)
    const ready = Date.now()
    const booted = (await machine.run('date -d "$(uptime -s)" +%s')).trim()
    await Promise.all([hog, lose].map((story) => story.finished(180_000)))
    console.log(
      `${name}: Ready ${ready - cut} ms after, both runs finished ${Date.now() - ready} ms later; held, as told: ${[hog, lose].map((s) => s.targets[0].heldMs)} ms`,
    )
    for (const story of [hog, lose]) {
      expect(story.status.verdict).toBe('Error')
      expect(story.status.tasks[0].failStep).toContain('cut short')
      expect(verdicts(story)).toEqual(['Error'])
      const [target] = story.targets
      expect(target.heldMs).toBeGreaterThanOrEqual(cut - target.injectedAt - 2000)
      expect(target.heldMs).toBeLessThanOrEqual(Number(booted) * 1000 - target.injectedAt + 2000)
      expect(await guest.residue(story)).toEqual([])
    }
    const after = await Promise.all(
      ['hog-dark', 'lose-dark'].map(async (app) => await guest.state(await guest.pod(app))),
    )
    expect(after).toEqual(before)
    for (const story of [hog, lose]) await world.forget(story)
  },
)

const verdicts = (story: Story): string[] => [
  ...new Set(
    story.history
      .map(({ object }) => object.status?.verdict)
      .filter((v) => v !== undefined && v !== '' && v !== 'Awaited'),
  ),
]
