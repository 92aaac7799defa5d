import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { experiment, networkLatency, networkLoss } from '../stories/documents.ts'
import type { Json } from '../watchers/api.ts'
import { hiccupMs, type SlownessWatch } from '../watchers/machine.ts'
import { Guest } from './guest.ts'
import { expectNoResidue } from './held.ts'

let guest: Guest
let pod: Json

/** The pod's second family: the cluster gives addresses of version 4 only. */
const v6 = 'fd00:c0a5::2'
const soonMs = 90_000

beforeAll(async () => {
  guest = await Guest.begin()
  pod = await guest.target('mute')
  await guest.inNetwork(pod, `ip -6 addr add ${v6}/64 dev eth0 nodad`)
  await guest.machine.run('ip -6 addr replace fd00:c0a5::1/64 dev cni0 nodad')
})
afterAll(() => guest?.end())

const median = (all: number[]): number => all.toSorted((a, b) => a - b)[all.length >> 1] ?? 0

/** Round trips to the pod, by both families. */
async function trips(count = 15): Promise<{ four: number[]; six: number[] }> {
  return {
    four: await guest.echoes(pod.status.podIP, count),
    six: await guest.echoes(v6, count),
  }
}

it('pod-network-loss loses what the pod sends, for as long as was asked, and leaves its network as it was', async () => {
  const before = await guest.state(pod)
  const silence = guest.watchSilence(pod)
  const story = await guest.world.run(experiment('lose-vm', [networkLoss('mute', 10)]))
  await story.injected(soonMs)
  expect(await guest.state(pod)).toContain('table netdev chaosplane_')
  const status = await story.finished(soonMs)
  expect(status).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
  const [span, ...more] = silence.silences()
  expect(more).toEqual([])
  const { from = 0, to = 0 } = span ?? {}
  expect(to - from).toBeGreaterThan(9000)
  expect(to - from).toBeLessThan(12_500)
  expect(await guest.state(pod)).toBe(before)
  await expectNoResidue(guest, story)
})

it('pod-network-loss with a correlation is netem: about as many echoes are lost as were asked, of both families', async () => {
  const before = await guest.state(pod)
  const env = { NETWORK_PACKET_LOSS_PERCENTAGE: 50, CORRELATION: 1 }
  const story = await guest.world.run(experiment('lose-netem', [networkLoss('mute', 60, { env })]))
  await story.injected(soonMs)
  expect(await guest.state(pod)).toMatch(/qdisc netem .* loss 50% 1%/)
  const { four, six } = await trips(60)
  console.log(`netem loss of 50 %: of 60 came ${four.length} and ${six.length}`)
  for (const { length } of [four, six]) {
    expect(length).toBeGreaterThan(10)
    expect(length).toBeLessThan(50)
  }
  await story.abort()
  expect(await story.finished(soonMs)).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
  expect(await guest.state(pod)).toBe(before)
  await expectNoResidue(guest, story)
})

it('pod-network-latency delays packets of both families, and the default of the kernel is back after it', async () => {
  const before = await guest.state(pod)
  const quick = await trips()
  const env = { NETWORK_LATENCY: '200ms' }
  const story = await guest.world.run(experiment('delay-vm', [networkLatency('mute', 60, { env })]))
  await story.injected(soonMs)
  expect(await guest.state(pod)).toMatch(/qdisc netem .* delay 200ms/)
  const slow = await trips()
  for (const family of ['four', 'six'] as const) {
    const [without, by] = [median(quick[family]), median(slow[family])]
    console.log(`delay of 200 ms, ${family}: ${without} ms, then ${by} ms`)
    expect(slow[family]).toHaveLength(15)
    expect(without).toBeLessThan(100)
    expect(Math.min(...slow[family])).toBeGreaterThanOrEqual(200)
    expect(by).toBeLessThan(300)
  }
  await story.abort()
  expect(await story.finished(soonMs)).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
  expect(await guest.state(pod)).toBe(before)
  expect(median((await trips()).four)).toBeLessThan(100)
  await expectNoResidue(guest, story)
})

it('pod-network-latency that is aimed at an address of version 6 delays nothing else', async () => {
  const before = await guest.state(pod)
  const env = { NETWORK_LATENCY: '200ms', DESTINATION_IPS: 'fd00:c0a5::1' }
  const story = await guest.world.run(
    experiment('delay-six', [networkLatency('mute', 60, { env })]),
  )
  await story.injected(soonMs)
  const { four, six } = await trips()
  expect(median(four)).toBeLessThan(100)
  expect(Math.min(...six)).toBeGreaterThanOrEqual(200)
  await story.abort()
  await story.finished(soonMs)
  expect(await guest.state(pod)).toBe(before)
  await expectNoResidue(guest, story)
})

it.for(['tbf rate 10mbit burst 32kb latency 50ms', 'htb default 1', 'netem delay 40ms'])(
  'pod-network-latency beside a root that somebody made, %s: it works during and is untouched after',
  async (root) => {
    onTestFinished(async () => {
      await guest.inNetwork(pod, 'tc qdisc del dev eth0 root handle 7: || true')
    })
    await guest.inNetwork(pod, `tc qdisc add dev eth0 root handle 7: ${root}`)
    const before = await guest.state(pod)
    expect(before).toContain(`qdisc ${root.split(' ')[0]} 7:`)
    const env = { NETWORK_LATENCY: '150ms' }
    const document = experiment('delay-beside', [networkLatency('mute', 60, { env })])
    const story = await guest.world.run(document)
    await story.injected(soonMs)
    const { four, six } = await trips()
    const least = root.includes('delay') ? 190 : 150
    for (const family of [four, six]) {
      expect(family).toHaveLength(15)
      expect(Math.min(...family)).toBeGreaterThanOrEqual(least)
    }
    await story.abort()
    expect(await story.finished(soonMs)).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
    expect(await guest.state(pod)).toBe(before)
    // what the test itself has put there is none of the product's
    await expectNoResidue(guest, story, (line) => !line.includes('netem 7:'))
  },
)

/** Waits until the pod has been slow for so long that it is no hiccup of the machine. */
const beyondDoubt = (slowness: SlownessWatch) =>
  expect
    .poll(() => slowness.spans().map(({ from, to = Date.now() }) => to - from)[0] ?? 0, {
      timeout: 30_000,
    })
    .toBeGreaterThan(hiccupMs + 500)

it('pod-network-latency whose program is killed is put back by its guard, by the undo file', async () => {
  const before = await guest.state(pod)
  const slowness = guest.watchSlowness(pod, 150)
  const env = { NETWORK_LATENCY: '300ms' }
  const story = await guest.world.run(experiment('orphan', [networkLatency('mute', 120, { env })]))
  await story.injected(soonMs)
  await beyondDoubt(slowness)
  await guest.machine.run('kill -KILL $(pgrep -f fault-pod[.]cjs)')
  const from = Date.now()
  await expect.poll(() => slowness.spans()[0]?.to, { timeout: 30_000 }).toBeGreaterThan(0)
  const took = (slowness.spans()[0]?.to ?? 0) - from
  console.log(`program killed: the delay was gone ${took} ms later`)
  expect(took).toBeLessThan(5000)
  const status = await story.finished(soonMs)
  expect(status).toMatchObject({ verdict: 'Error' })
  expect(status.tasks[0].errorCode).toBe('CUT_SHORT')
  expect(await guest.state(pod)).toBe(before)
  await expectNoResidue(guest, story)
})

const others = {
  'its guard': () => guest.machine.run('kill -KILL $(pgrep -f guard[.]sh)'),
  'the runner': async () => {
    const [runner] = guest.world.program('runner')
    guest.world.kill(runner, 'runner.cjs')
  },
}

it.for(Object.entries(others))(
  'pod-network-latency ends at its own deadline, not before, when %s is killed',
  async ([who, kill]) => {
    const seconds = 40
    const before = await guest.state(pod)
    const slowness = guest.watchSlowness(pod, 150)
    const env = { NETWORK_LATENCY: '300ms' }
    const document = experiment('alone', [networkLatency('mute', seconds, { env })])
    const story = await guest.world.run(document)
    await story.injected(soonMs)
    const [{ endsAt }] = story.targets
    await kill()
    await expect
      .poll(() => slowness.spans()[0]?.to, { timeout: (seconds + 20) * 1000 })
      .toBeGreaterThan(0)
    const late = (slowness.spans()[0]?.to ?? 0) - endsAt
    console.log(`${who} killed: the delay was gone ${Math.round(late)} ms after its deadline`)
    expect(late).toBeGreaterThan(-1000)
    expect(late).toBeLessThan(2000)
    expect(await story.finished(soonMs)).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    expect(slowness.spans()).toHaveLength(1)
    expect(await guest.state(pod)).toBe(before)
    await expectNoResidue(guest, story)
  },
)

it('pod-network-latency whose fault pod is deleted by force is gone at once, and on record as cut short', async () => {
  const before = await guest.state(pod)
  const slowness = guest.watchSlowness(pod, 150)
  const env = { NETWORK_LATENCY: '300ms' }
  const story = await guest.world.run(experiment('podless', [networkLatency('mute', 120, { env })]))
  await story.injected(soonMs)
  await beyondDoubt(slowness)
  const from = await guest.world.forceDelete(guest.world.faultPods(story.run.runId)[0])
  await expect.poll(() => slowness.spans()[0]?.to, { timeout: 30_000 }).toBeGreaterThan(0)
  const took = (slowness.spans()[0]?.to ?? 0) - from
  console.log(`fault pod deleted: the delay was gone ${took} ms later`)
  expect(took).toBeLessThan(5000)
  const status = await story.finished(soonMs)
  expect(status).toMatchObject({ verdict: 'Error' })
  expect(status.tasks[0].errorCode).toBe('CUT_SHORT')
  expect(await guest.state(pod)).toBe(before)
  await expectNoResidue(guest, story)
})
