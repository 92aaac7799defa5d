import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { Guest } from './guest.ts'
import {
  bothOver,
  endsByItself,
  expectHeldInFull,
  expectNothingLeft,
  hold,
  makeTargets,
  verdictsOf,
} from './held.ts'

/** Short enough that nobody is given up as silent before kubelet is back. */
const holdSeconds = 12
let guest: Guest
let isDown = false

beforeAll(async () => {
  guest = await Guest.begin()
  await makeTargets(guest)
})
afterEach(async () => {
  if (isDown) await guest.machine.start('kubelet')
  isDown = false
})
afterAll(() => guest?.end())

it('kubelet killed in mid-hold: the faults end at their own deadline, and the run says so when it is back', () =>
  endsByItself(guest, 'kubelet', holdSeconds))

it('kubelet away for longer: the run says that it is owed and how to put it back, and closes with the truth', async () => {
  const held = await hold(guest, 'kubelet-away', holdSeconds)
  const { story } = held
  await guest.machine.kill('kubelet')
  isDown = true
  await bothOver(held, 60_000)
  await story.until('both owed', 90_000, ({ targets }) =>
    targets.every(({ state, remaining }) => state === 'owed' && remaining.length > 0),
  )
  expect(verdictsOf(story)).toEqual([])
  await guest.machine.start('kubelet')
  isDown = false
  const status = await story.finished(180_000)
  expect(status).toMatchObject({ phase: 'Error', verdict: 'Error' })
  for (const { errorCode, failStep } of status.tasks) {
    expect(errorCode).toBe('HELPER_ERROR')
    expect(failStep).toContain('could not be spoken to')
  }
  expectHeldInFull(story, holdSeconds)
  expect(verdictsOf(story)).toEqual(['Error'])
  await expectNothingLeft(guest, held)
})
