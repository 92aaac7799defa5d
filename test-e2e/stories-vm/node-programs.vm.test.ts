import { afterAll, beforeAll, expect, it } from 'vitest'
import { attachMachine, type MachineComponent } from '../cluster/vm/machine.ts'
import { cpuHog, experiment, networkLoss } from '../stories/documents.ts'
import { World } from '../stories/world.ts'
import { Guest } from './guest.ts'

const holdSeconds = 20
/** What a fault may last beyond its own deadline while the node's programs are away. */
const boundMs = holdSeconds * 1000 + 2000
let world: World
let guest: Guest

beforeAll(async () => {
  world = await World.begin()
  guest = new Guest(world, attachMachine(world.installed))
  await Promise.all(['hog-alone', 'lose-alone'].map((name) => guest.target(name)))
})
afterAll(() => world?.end())

it.each<MachineComponent>(['kubelet', 'containerd'])(
  '%s killed in mid-fault: the faults end at their own deadlines, and are told when it is back',
  async (component) => {
    const { machine } = guest
    const [hogged, lossy] = [await guest.pod('hog-alone'), await guest.pod('lose-alone')]
    const before = [await guest.state(hogged), await guest.state(lossy)]
    const stress = guest.watchStress(hogged)
    const silence = guest.watchSilence(lossy)
    const [hog, lose] = await Promise.all([
      world.run(experiment(`hog-no-${component}`, [cpuHog('hog-alone', holdSeconds)])),
      world.run(experiment(`lose-no-${component}`, [networkLoss('lose-alone', holdSeconds)])),
    ])
    await Promise.all([hog.injected(120_000), lose.injected(120_000)])
    const killed = Date.now()
    await machine.kill(component)
    try {
      expect(stress.holds().at(-1)).toMatchObject({ to: undefined })
      await expect
        .poll(() => [stress.holds().at(-1)?.to, silence.silences().at(-1)?.to], {
          timeout: boundMs + 5000,
          interval: 200,
        })
        .toEqual([expect.any(Number), expect.any(Number)])
      await expect
        .poll(async () => [await guest.state(hogged), await guest.state(lossy)], {
          timeout: 10_000,
        })
        .toEqual(before)
    } finally {
      await machine.start(component)
    }
    const back = Date.now()
    const spans = [...stress.holds(), ...silence.silences()]
    const lengths = spans.map(({ from, to = Infinity }) => to - from)
    for (const length of lengths) expect(length).toBeLessThan(boundMs)
    expect(lengths.length).toBe(2)
    const ends = await Promise.all([hog.finished(180_000), lose.finished(180_000)])
    console.log(
      `${component} away for ${back - killed} ms: held ${lengths.map(Math.round).join(' and ')} ms of ${holdSeconds} s; told ${Date.now() - back} ms after it was back`,
    )
    for (const status of ends) expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
    expect(await guest.residue(hog)).toEqual([])
    expect(await guest.residue(lose)).toEqual([])
    expect([await guest.state(hogged), await guest.state(lossy)]).toEqual(before)
  },
)
