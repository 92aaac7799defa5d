import { afterAll, beforeAll, expect, it } from 'vitest'
import { Guest } from './guest.ts'
import { expectNothingLeft, hold, makeTargets, verdictsOf } from './held.ts'

let guest: Guest

beforeAll(async () => {
  guest = await Guest.begin()
  await makeTargets(guest)
})
afterAll(() => guest?.end())

it('a reboot in mid-fault: nothing is left after the boot, and the run ends once, as cut short', async () => {
  const held = await hold(guest, 'reboot', 300)
  const { story } = held
  const from = Date.now()
  await guest.machine.reboot()
  const back = Date.now()
  const status = await story.finished(180_000)
  console.log(`reboot: Ready after ${back - from} ms, verdict ${Date.now() - back} ms later`)
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
})
