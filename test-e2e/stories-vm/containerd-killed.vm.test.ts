import { afterAll, beforeAll, it } from 'vitest'
import { Guest } from './guest.ts'
import { endsByItself, makeTargets } from './held.ts'

/** Short enough that nobody is given up as silent before containerd is back. */
const holdSeconds = 12
let guest: Guest

beforeAll(async () => {
  guest = await Guest.begin()
  await makeTargets(guest)
})
afterAll(() => guest?.end())

it('containerd killed in mid-hold: the faults end at their own deadline, and the run says so when it is back', () =>
  endsByItself(guest, 'containerd', holdSeconds))
