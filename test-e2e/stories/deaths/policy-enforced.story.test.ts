import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Json } from '../../watchers/api.ts'
import { Caller } from '../../watchers/caller.ts'
import { experiment, networkPolicy } from '../documents.ts'
import { endEnforcer, startEnforcer } from '../enforcer.ts'
import { placeOf } from '../pod-network.ts'
import { type Story, World } from '../world.ts'

const [web, db] = [7001, 7002]
/** Connections come back within this after what ends the fault, milliseconds: the promise. */
const soonMs = 5000
/** From the object to its effect, and back: that is the enforcer's business. */
const enforcerMs = 3000
const policiesPath = '/apis/networking.k8s.io/v1/networkpolicies'

type Party = { address: string; caller: Caller }

let world: World
/** the target; whom it speaks with; and somebody beside it whom no policy is about */
let own: Party, far: Party, near: Party, beside: Party
const callers: Caller[] = []

/** A pod on a node, with somebody in its network who listens. */
async function party(app: string, node = ''): Promise<Party> {
  await world.target(app, 1, { nodeSelector: { 'kubernetes.io/hostname': node } })
  const { pid, address } = placeOf(world, app)
  const caller = new Caller(pid)
  callers.push(caller)
  await Promise.all([caller.listen(web), caller.listen(db)])
  return { address, caller }
}

beforeAll(async () => {
  world = await World.begin()
  await startEnforcer(world)
  // What pods of one node say to each other is seen by its enforcer only where br_netfilter is loaded.
  const [here, there] = [world.installed.nodes.at(0), world.installed.nodes.at(-1)]
  ;[own, near, beside, far] = await Promise.all([
    party('forbidden', here),
    party('near', there),
    party('beside', here),
    party('far', there),
  ])
  await own.caller.open(far.address, web, 'old')
}, 900_000)
afterAll(async () => {
  for (const caller of callers) caller.end()
  try {
    await endEnforcer(world)
  } finally {
    await world?.end()
  }
})

/** Who reaches whom by a new connection, and what becomes of the one that is there all along. */
async function reach() {
  const answers = {
    'to far': own.caller.open(far.address, web),
    'to far, db': own.caller.open(far.address, db),
    'asks far': own.caller.ask(far.address, web),
    'to near': own.caller.open(near.address, web),
    'from far': far.caller.open(own.address, web),
    'from far, db': far.caller.open(own.address, db),
    'from near': near.caller.open(own.address, web),
    'far asks': far.caller.ask(own.address, web),
    'others to far': beside.caller.open(far.address, web),
    'others from far': far.caller.open(beside.address, web),
    old: own.caller.say('old'),
  }
  const said = await Promise.all(Object.values(answers))
  return Object.fromEntries(Object.keys(answers).map((name, i) => [name, said[i] ?? '']))
}

const well = {
  'to far': 'connected',
  'to far, db': 'connected',
  'asks far': 'answered',
  'to near': 'connected',
  'from far': 'connected',
  'from far, db': 'connected',
  'from near': 'connected',
  'far asks': 'answered',
  'others to far': 'connected',
  'others from far': 'connected',
  // this enforcer judges a connection by its first packet
  old: 'answered',
}

/** Everything works but these. */
const but = (...silent: (keyof typeof well)[]) => ({
  ...well,
  ...Object.fromEntries(silent.map((name) => [name, 'silent'])),
})

const policies = async (): Promise<Json[]> => (await world.api.get(policiesPath)).items

/** Begins the fault and waits until packets are judged by it. */
async function forbid(
  name: string,
  { seconds, env = {} }: { seconds: number; env?: Record<string, string> },
  silent: (keyof typeof well)[],
): Promise<Story> {
  expect(await reach()).toEqual(well)
  const story = await world.run(experiment(name, [networkPolicy('forbidden', seconds, env)]))
  await story.injected()
  await expect.poll(reach, { timeout: enforcerMs + 2000, interval: 50 }).toEqual(but(...silent))
  expect(await policies()).toHaveLength(1)
  return story
}

/** The moment at which the target is heard by everybody again, at the latest `ms` from now. */
async function talksAgain(ms: number): Promise<number> {
  let at = 0
  const look = async () => {
    at = Date.now()
    return await reach()
  }
  await expect.poll(look, { timeout: ms, interval: 50 }).toEqual(well)
  return at
}

async function clean(story: Story): Promise<void> {
  expect(await policies()).toEqual([])
  expect(await story.residue()).toEqual([])
  expect(await reach()).toEqual(well)
}

it('egress to one address: what the pod opens to it is dropped, nothing else is, and afterwards they talk again', async () => {
  const env = { POLICY_TYPES: 'egress', DESTINATION_IPS: far.address }
  const story = await forbid('forbid-egress', { seconds: 10, env }, [
    'to far',
    'to far, db',
    'asks far',
  ])
  expect(await story.finished()).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
  await talksAgain(enforcerMs)
  await clean(story)
})

it('ingress on one port: what others open to it is dropped, other ports and what the pod opens are not', async () => {
  const env = { POLICY_TYPES: 'ingress', PORTS: `tcp: [${web}]` }
  const story = await forbid('forbid-ingress', { seconds: 10, env }, ['from far', 'from near'])
  expect(await story.finished()).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
  await talksAgain(enforcerMs)
  await clean(story)
})

const everything = [
  ...(['to far', 'to far, db', 'asks far', 'to near'] as const),
  ...(['from far', 'from far, db', 'from near', 'far asks'] as const),
]

it('everything with everybody, both ways; after an abort they talk again at once', async () => {
  const story = await forbid('forbid-all', { seconds: 120 }, everything)
  const aborted = Date.now()
  await story.abort()
  const took = (await talksAgain(soonMs + enforcerMs)) - aborted
  console.log(`abort to talking again: ${took} ms`)
  expect(await story.finished()).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
  await clean(story)
})

it('a runner that is killed in mid-hold: the pod stays cut until the deadline, and they talk again in time', async () => {
  await world.freshRunner()
  const story = await forbid('forbid-orphan', { seconds: 20 }, everything)
  const { endsAt } = await story.until('the deadline on record', 5000, ({ targets }) =>
    targets.find((t) => t.endsAt),
  )
  const [runner] = world.program('runner')
  const { adopted } = await story.losesRunner(runner)
  expect(adopted).toBeLessThan(endsAt)
  expect(await reach()).toEqual(but(...everything))
  const late = (await talksAgain(endsAt - Date.now() + soonMs + enforcerMs)) - endsAt
  console.log(`deadline to talking again: ${late} ms`)
  expect(late).toBeGreaterThan(-1500)
  expect(await story.finished()).toMatchObject({ phase: 'Completed', verdict: 'Pass' })
  expect(story.run.tasks[0].injections).toBe(1)
  await clean(story)
})

it('a runner that is killed and comes back past the deadline: they talk again at once', async () => {
  await world.freshRunner()
  const story = await forbid('forbid-late', { seconds: 6 }, everything)
  const { endsAt } = story.targets[0]
  const [runner] = world.program('runner')
  const before = runner.status.containerStatuses[0].restartCount
  world.kill(runner, 'runner.cjs')
  const back = await world.pods.until('the runner started again', 60_000, () => {
    const [status] = world.program('runner')[0]?.status.containerStatuses ?? []
    return status?.restartCount > before && status.state.running && Date.now()
  })
  const due = Math.max(back, endsAt)
  const took = (await talksAgain(due - Date.now() + soonMs + enforcerMs)) - due
  console.log(`runner back to talking again: ${took} ms`)
  expect(await story.finished()).toMatchObject({ verdict: 'Pass' })
  await clean(story)
})
