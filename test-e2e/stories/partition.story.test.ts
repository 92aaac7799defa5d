import { afterAll, beforeAll, describe, type ExpectStatic, it } from 'vitest'
import { Caller } from '../watchers/caller.ts'
import type { Place } from '../watchers/datagrams.ts'
import { chaosExperiment, experiment, networkLoss, networkPartition } from './documents.ts'
import { mend, networkImage, placeOf } from './pod-network.ts'
import { type Story, World } from './world.ts'

const [port, other] = [7001, 7002]
const apps = [
  'far',
  'near',
  'one-way',
  'by-labels',
  'alone',
  'both-ways',
  'cut-orphan',
  'cut-quit',
  'mended',
  'twice',
]

/** Somebody in the network of a pod, and where it is. */
type Party = Place & { caller: Caller }

let world: World
let far: Party
let near: Party
const callers: Caller[] = []

const partyOf = (app: string): Party => {
  const place = placeOf(world, app)
  const caller = new Caller(place.pid)
  callers.push(caller)
  return { ...place, caller }
}

beforeAll(async () => {
  world = await World.begin()
  await Promise.all(apps.map((app) => world.target(app)))
  ;[far, near] = [partyOf('far'), partyOf('near')]
  await Promise.all(
    [far, near].flatMap(({ caller }) => [caller.listen(port), caller.listen(other)]),
  )
})
afterAll(async () => {
  for (const caller of callers) caller.end()
  await world?.end()
})

/** A target that listens, and speaks with `far` on a connection that each of them opened. */
async function target(app: string): Promise<Party & { before: string }> {
  const own = partyOf(app)
  await Promise.all([own.caller.listen(port), own.caller.listen(other)])
  await own.caller.open(far.address, port, app)
  await far.caller.open(own.address, port, app)
  return { ...own, before: networkImage(own) }
}

/** What becomes of old and new connections between the target and `far`, and of one with `near`. */
async function reach(own: Party, app: string) {
  const [opensNew, saysOld, asks, calledNew, hearsOld, keeps] = await Promise.all([
    own.caller.open(far.address, port),
    own.caller.say(app),
    own.caller.ask(far.address, port),
    far.caller.open(own.address, port),
    far.caller.say(app),
    own.caller.open(near.address, port),
  ])
  return { opensNew, saysOld, asks, calledNew, hearsOld, keeps }
}

const well = {
  opensNew: 'connected',
  saysOld: 'answered',
  asks: 'answered',
  calledNew: 'connected',
  hearsOld: 'answered',
  keeps: 'connected',
}

async function clean(
  { story, own, app }: { story: Story; own: Party & { before: string }; app: string },
  expect: ExpectStatic,
): Promise<void> {
  expect(networkImage(own)).toBe(own.before)
  expect(await story.residue()).toEqual([])
  // TCP tries what was lost again, after a pause that has grown meanwhile
  await expect.poll(() => reach(own, app), { timeout: 60_000, interval: 200 }).toEqual(well)
}

describe.concurrent('connections', () => {
  it('that the pod opens are cut, new and old, with the one it must lose; it goes on serving', async ({
    expect,
  }) => {
    const app = 'one-way'
    const own = await target(app)
    expect(await reach(own, app)).toEqual(well)
    const env = { POLICY_TYPES: 'egress', DESTINATION_IPS: far.address }
    const story = await world.run(experiment('cut-one-way', [networkPartition(app, 6, { env })]))
    await story.injected()
    const mute = { opensNew: 'silent', saysOld: 'silent', asks: 'silent' }
    expect(await reach(own, app)).toEqual({ ...well, ...mute })
    expect(await story.finished()).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    expect(story.targets[0].heldMs).toBeGreaterThan(5800)
    expect(story.targets[0].heldMs).toBeLessThan(7000)
    await clean({ story, own, app }, expect)
  })

  it('with pods that are named by labels are cut; when no pod has them, nobody is', async ({
    expect,
  }) => {
    const app = 'by-labels'
    const own = await target(app)
    const env = { POLICY_TYPES: 'egress', POD_SELECTOR: 'app=far' }
    const story = await world.run(experiment('cut-by-labels', [networkPartition(app, 6, { env })]))
    await story.injected()
    const mute = { opensNew: 'silent', saysOld: 'silent', asks: 'silent' }
    expect(await reach(own, app)).toEqual({ ...well, ...mute })
    expect(story.targets[0].evidence).toContain(far.address)
    expect(await story.finished()).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
    await clean({ story, own, app }, expect)
    const none = networkPartition(app, 6, { env: { POD_SELECTOR: 'app=nobody' } })
    const other = await world.run(experiment('cut-nobody', [none]))
    const status = await other.finished()
    expect(status.tasks[0]).toMatchObject({ verdict: 'Error', errorCode: 'CHAOS_INJECT_ERROR' })
    expect(status.tasks[0].failStep).toContain('match no pod with an address')
    expect(networkImage(own)).toBe(own.before)
    expect(await other.residue()).toEqual([])
  })

  it('that others open are cut on the port that is named, and on no other', async ({ expect }) => {
    const app = 'both-ways'
    const own = await target(app)
    const env = { POLICY_TYPES: 'ingress', PORTS: `tcp: [${port}]` }
    const story = await world.run(experiment('cut-port', [networkPartition(app, 6, { env })]))
    await story.injected()
    const deaf = { calledNew: 'silent', hearsOld: 'silent' }
    expect(await reach(own, app)).toEqual({ ...well, ...deaf })
    expect(await far.caller.open(own.address, other)).toBe('connected')
    await story.finished()
    await clean({ story, own, app }, expect)
  })

  it('are all cut in the other dialect, but kubelet still sees that the pod is well', async ({
    expect,
  }) => {
    const app = 'alone'
    const own = await target(app)
    const parameters = { target_cidr: '0.0.0.0/0' }
    const action = { type: 'network-partition', parameters }
    const document = chaosExperiment('cut-all', app, { action, duration: '8s' })
    const began = Date.now()
    const story = await world.run(document)
    await story.injected()
    const silent = Object.fromEntries(Object.keys(well).map((name) => [name, 'silent']))
    expect(await reach(own, app)).toEqual(silent)
    await story.finished()
    const seen = world.pods.history.filter(
      ({ at, object }) => at > began && object?.metadata.labels?.app === app,
    )
    const unready = seen.filter(({ object }) =>
      object.status.conditions?.some(
        (c: { type: string; status: string }) => c.type === 'Ready' && c.status !== 'True',
      ),
    )
    expect(unready).toEqual([])
    await clean({ story, own, app }, expect)
  })

  it('come back as soon as the fault program is killed', async ({ expect }) => {
    const app = 'cut-orphan'
    const own = await target(app)
    const story = await world.run(experiment(app, [networkPartition(app, 40)]))
    await story.injected()
    expect(await far.caller.open(own.address, port)).toBe('silent')
    const [pod] = world.faultPods(story.run.runId)
    world.kill(pod, 'fault-pod.cjs')
    await expect.poll(() => networkImage(own), { timeout: 5000, interval: 50 }).toBe(own.before)
    const status = await story.finished()
    expect(status.verdict).toBe('Error')
    expect(status.tasks[0].failStep).toContain('cut short')
    await clean({ story, own, app }, expect)
  })

  it('come back at once after an abort', async ({ expect }) => {
    const app = 'cut-quit'
    const own = await target(app)
    const story = await world.run(experiment(app, [networkPartition(app, 60)]))
    await story.injected()
    expect(networkImage(own)).not.toBe(own.before)
    await story.abort()
    await expect.poll(() => networkImage(own), { timeout: 2000, interval: 20 }).toBe(own.before)
    expect(await story.finished()).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
    await clean({ story, own, app }, expect)
  })

  it('that somebody else mends meanwhile end the run as an Error, not as a Pass', async ({
    expect,
  }) => {
    const app = 'mended'
    const own = await target(app)
    const story = await world.run(experiment(app, [networkPartition(app, 30)]))
    await story.injected()
    mend(own)
    const status = await story.finished(20_000)
    expect(status.verdict).toBe('Error')
    expect(JSON.stringify(status.run)).toContain('somebody has removed it')
    expect(story.targets[0].heldMs).toBeLessThan(10_000)
    await clean({ story, own, app }, expect)
  })

  it('of one pod are cut and lost by two experiments at once, each by itself', async ({
    expect,
  }) => {
    const app = 'twice'
    const own = await target(app)
    const cut = networkPartition(app, 24, { env: { DESTINATION_IPS: far.address } })
    const lose = networkLoss(app, 8, { env: { DESTINATION_IPS: near.address } })
    const first = await world.run(experiment('twice-cut', [cut]))
    await first.injected()
    const second = await world.run(experiment('twice-lost', [lose]))
    await second.injected()
    expect(await reach(own, app)).toMatchObject({ opensNew: 'silent', keeps: 'silent' })
    await second.finished()
    expect(await reach(own, app)).toMatchObject({ opensNew: 'silent', keeps: 'connected' })
    expect(await first.finished()).toMatchObject({ verdict: 'Pass' })
    expect(await second.residue()).toEqual([])
    await clean({ story: first, own, app }, expect)
  })
})
