import { afterAll, beforeAll, expect, it } from 'vitest'
import { attachMachine } from '../cluster/vm/machine.ts'
import { experiment, networkLoss } from '../stories/documents.ts'
import { World } from '../stories/world.ts'
import { Guest } from './guest.ts'

let world: World
let guest: Guest

beforeAll(async () => {
  world = await World.begin()
  guest = new Guest(world, attachMachine(world.installed))
})
afterAll(() => world?.end())

it('pod-network-loss loses what the pod sends, for as long as was asked, and leaves its network as it was', async () => {
  const pod = await guest.target('mute')
  const before = await guest.state(pod)
  const silence = guest.watchSilence(pod)
  const story = await world.run(experiment('lose-vm', [networkLoss('mute', 10)]))
  await story.injected(90_000)
  expect(await guest.state(pod)).toContain('table netdev chaosplane_')
  const status = await story.finished(90_000)
  expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
  const [span, ...more] = silence.silences()
  expect(more).toEqual([])
  const { from = 0, to = 0 } = span ?? {}
  expect(to - from).toBeGreaterThan(9000)
  expect(to - from).toBeLessThan(12_500)
  expect(await guest.state(pod)).toBe(before)
  expect(await guest.residue(story)).toEqual([])
})
