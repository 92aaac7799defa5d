import { afterAll, beforeAll, expect, it } from 'vitest'
import { cpuHog, experiment } from '../stories/documents.ts'
import type { Json } from '../watchers/api.ts'
import { Guest } from './guest.ts'
import { expectNoResidue } from './held.ts'

let guest: Guest
let pod: Json

beforeAll(async () => {
  guest = await Guest.begin()
  pod = await guest.target('burnt')
})
afterAll(() => guest?.end())

it('the machine has what the stories are about: version 2 alone, nsdelegate, a kernel of its own', async () => {
  const mounts = await guest.machine.run('grep cgroup /proc/mounts')
  expect(mounts.trim().split('\n')).toEqual([expect.stringMatching(/ cgroup2 .*nsdelegate/)])
  expect(await guest.machine.run('uname -r')).toMatch(/^6\.1\./)
})

it('pod-cpu-hog burns in the cgroup of its target, for as long as was asked', async () => {
  const before = await guest.state(pod)
  const watch = guest.watchStress(pod)
  const story = await guest.world.run(experiment('hog-v2', [cpuHog('burnt', 10)]))
  await story.injected(90_000)
  const cgroup = await guest.machine.run('cat /proc/$(pgrep -o stress-ng)/cgroup')
  expect(cgroup).toContain(`pod${pod.metadata.uid}/`)
  const status = await story.finished(90_000)
  expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
  const [hold, ...more] = watch.holds()
  expect(more).toEqual([])
  const { from = 0, to = 0 } = hold ?? {}
  expect(to - from).toBeGreaterThan(9500)
  expect(to - from).toBeLessThan(12_500)
  // a quarter of a processor was asked for
  const load = watch.load({ from, to })
  expect(load).toBeGreaterThan(0.15)
  expect(load).toBeLessThan(0.4)
  expect(await guest.state(pod)).toBe(before)
  await expectNoResidue(guest, story)
})
