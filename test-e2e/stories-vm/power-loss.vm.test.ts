import { afterAll, beforeAll, it } from 'vitest'
import { Guest } from './guest.ts'
import { endsWithTheMachine, makeTargets } from './held.ts'

let guest: Guest

beforeAll(async () => {
  guest = await Guest.begin()
  await makeTargets(guest)
})
afterAll(() => guest?.end())

it('a loss of power in mid-fault: nothing is left after the boot, and the run ends once, as cut short', () =>
  endsWithTheMachine(guest, 'power-loss', async () => {
    await guest.machine.powerOff()
    await guest.machine.boot()
  }))
