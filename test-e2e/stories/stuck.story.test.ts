import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { Component } from '../cluster/cluster.ts'
import type { Json } from '../watchers/api.ts'
import { stressorsOn } from '../watchers/cgroups.ts'
import { arm, type Burnt, hold, lastEnd, whenStressed } from './burnt.ts'
import { cpuHog, experiment, scale } from './documents.ts'
import { type Story, World } from './world.ts'

const swollen = '/apis/apps/v1/namespaces/demo/deployments/swollen'
const abandon = 'chaos.chaosplane.io/abandon'
/** What a node's own deadline may be late by, milliseconds. */
const punctual = 2000
let world: World
/** the node without the runner: its kubelet may be killed */
let far = ''
const stopped = new Set<Component>()

beforeAll(async () => {
  world = await World.begin()
  const [runner] = world.program('runner')
  far = world.installed.nodes.find((node) => node !== runner.spec.nodeName) ?? ''
  const there = { nodeSelector: { 'kubernetes.io/hostname': far } }
  await Promise.all([
    ...['remote', 'forlorn', 'uprooted', 'unarmed'].map((app) => world.target(app, 1, there)),
    world.target('swollen'),
  ])
})
afterEach(async () => {
  for (const component of stopped) await world.cluster.start(component)
  stopped.clear()
  const ready = async () => {
    const node = await world.api.get(`/api/v1/nodes/${far}`)
    return node?.status.conditions?.find((c: Json) => c.type === 'Ready')?.status
  }
  await expect.poll(ready, { timeout: 90_000 }).toBe('True')
})
afterAll(async () => {
  try {
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

async function killKubelet(): Promise<void> {
  const component: Component = `kubelet:${far}`
  stopped.add(component)
  await world.cluster.kill(component)
}

const burn = (name: string, app: string, seconds: number, env: Json = {}) =>
  experiment(name, [cpuHog(app, seconds, { env })])

const conditionOf = ({ status }: Story, type: string): Json =>
  status.conditions?.find((c: Json) => c.type === type)

/** Waits for an Event of an experiment. */
const event = (story: Story, reason: string): Promise<void> => {
  const { namespace, uid } = story.object.metadata
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`
  const reasons = async () => {
    const { items } = await world.api.get(path)
    return items.filter((e: Json) => e.regarding.uid === uid).map((e: Json) => e.reason)
  }
  return expect.poll(reasons, { timeout: 10_000 }).toContain(reason)
}

const annotate = (story: Story, reason: string) =>
  world.api.patch(story.path, { metadata: { annotations: { [abandon]: reason } } })

/** A metric of the operator that leads, as Prometheus would fetch it. */
async function metric(name: string): Promise<number | undefined> {
  const texts = await Promise.all(
    world.program('operator').map(async ({ metadata: { namespace, name: pod } }) => {
      const path = `/api/v1/namespaces/${namespace}/pods/${pod}:8081/proxy/metrics`
      const response = await world.api.open('GET', path, {})
      let text = ''
      for await (const part of response) text += part
      return text
    }),
  )
  // the text that explains the metric begins alike
  const leader = texts.find((text) => /^chaosplane_operator_leading 1$/m.test(text))
  const line = leader?.split('\n').find((one) => one.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length))
}
const stuckRuns = (count: number): Promise<void> =>
  expect.poll(() => metric('chaosplane_stuck_runs'), { timeout: 10_000 }).toBe(count)

/** Forbids everybody to scale `swollen` back: a revert cannot succeed. */
async function forbid(): Promise<void> {
  const apiVersion = 'admissionregistration.k8s.io/v1'
  const metadata = { name: 'no-reverts' }
  const scales = { apiGroups: ['apps'], apiVersions: ['*'], operations: ['UPDATE'] }
  const policy = {
    apiVersion,
    kind: 'ValidatingAdmissionPolicy',
    metadata,
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: { resourceRules: [{ ...scales, resources: ['deployments/scale'] }] },
      validations: [
        {
          expression: "object.metadata.name != 'swollen' || object.spec.replicas != 1",
          message: 'nobody scales back here',
        },
      ],
    },
  }
  const binding = {
    apiVersion,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata,
    spec: { policyName: 'no-reverts', validationActions: ['Deny'] },
  }
  await world.apply({ apiVersion: 'v1', kind: 'List', items: [policy, binding] })
  const answer = () =>
    world.api.patch(`${swollen}/scale?dryRun=All`, { spec: { replicas: 1 } }).then(
      () => 'allowed',
      ({ message }: Error) => message,
    )
  await expect.poll(answer, { timeout: 20_000, interval: 200 }).toContain('nobody scales back')
}
async function allow(): Promise<void> {
  const of = '/apis/admissionregistration.k8s.io/v1'
  await world.api.remove(`${of}/validatingadmissionpolicybindings/no-reverts`)
  await world.api.remove(`${of}/validatingadmissionpolicies/no-reverts`)
}

it('what the API server refuses to put back is Stuck with the command, an Event and a metric; abandoned, it is let go', async () => {
  const story = await world.run(
    experiment('refused-revert', [scale('swollen', 60, { REPLICA_COUNT: 2 })]),
  )
  await story.injected()
  try {
    await forbid()
    await story.abort()
    const stuck = await story.until('stuck', 20_000, (s) => conditionOf(s, 'Stuck'))
    expect(stuck).toMatchObject({ status: 'True', reason: 'RollbackFailed' })
    const byHand = 'kubectl -n demo scale deployment swollen --replicas=1'
    expect(stuck.message).toContain(byHand)
    await event(story, 'RollbackFailed')
    await stuckRuns(1)
    expect(story.object.metadata.finalizers).toHaveLength(1)
    await annotate(story, '')
    await event(story, 'AbandonRefused')
    expect(story.object.metadata.finalizers).toHaveLength(1)
    const from = Date.now()
    await annotate(story, 'ops scale it back')
    const status = await story.finished(30_000)
    console.log(`refused-revert: let go ${Date.now() - from} ms after it was given up`)
    expect(status.verdict).toBe('Error')
    expect(status.run.abandoned).toMatchObject({ reason: 'ops scale it back' })
    expect(story.targets).toMatchObject([{ state: 'abandoned', remaining: [byHand] }])
    expect(conditionOf(story, 'Abandoned').message).toContain('ops scale it back')
    expect(conditionOf(story, 'Stuck')).toBeUndefined()
    await event(story, 'Abandoned')
    await stuckRuns(0)
    expect(story.object.metadata.annotations?.[abandon]).toBeUndefined()
  } finally {
    await allow()
  }
  // It is left as it is: only a human puts it back now.
  expect((await world.api.get(swollen)).spec.replicas).toBe(2)
})

it('a node whose kubelet is away: put back at its deadline, owed until it is back or given up', async () => {
  const [proven, givenUp] = await Promise.all([
    hold(world, burn('kubelet-goes', 'remote', 6), 'remote'),
    hold(world, burn('given-up', 'forlorn', 6), 'forlorn'),
  ])
  const both = [proven, givenUp]
  await killKubelet()
  await Promise.all(both.map((one) => whenStressed(one.cpu, false, 15_000)))
  for (const one of both)
    expect(lastEnd(one.cpu) - one.story.targets[0].endsAt).toBeLessThan(punctual)
  for (const { story } of both) {
    const stuck = await story.until('stuck', 70_000, (s) => conditionOf(s, 'Stuck'))
    expect(stuck.message).toContain(far)
    expect(stuck.message).toContain('go-*.sh')
    expect(story.targets[0].state).toBe('owed')
  }
  await stuckRuns(2)
  await annotate(givenUp.story, 'the node burned')
  expect((await givenUp.story.finished(30_000)).verdict).toBe('Error')
  const [target] = givenUp.story.targets
  expect(target).toMatchObject({ state: 'abandoned', node: far })
  expect(target.remaining[0]).toContain(`/var/lib/chaosplane/${world.clusterId}/${far}/`)
  const from = Date.now()
  await world.cluster.start(`kubelet:${far}`)
  stopped.clear()
  expect((await proven.story.finished(90_000)).verdict).toBe('Error')
  console.log(`kubelet-goes: proven ${Date.now() - from} ms after the start of kubelet`)
  expect(proven.story.targets).toMatchObject([{ state: 'reverted' }])
  expect(conditionOf(proven.story, 'Stuck')).toBeUndefined()
  expect(await proven.story.residue()).toEqual([])
})

it('a node that is taken out of the cluster takes its targets along, held or armed', async () => {
  const [held, armed] = await Promise.all([
    hold(world, burn('node-goes', 'uprooted', 12), 'uprooted'),
    arm(world, burn('node-goes-early', 'unarmed', 12, { RAMP_TIME: 60 }), 'unarmed'),
  ])
  const { endsAt } = held.story.targets[0]
  await killKubelet()
  const from = Date.now()
  await world.api.remove(`/api/v1/nodes/${far}`)
  const over = async ({ story }: Burnt) => {
    const status = await story.finished(90_000)
    console.log(
      `${story.path.split('/').at(-1)}: over ${Date.now() - from} ms after the deletion of the node`,
    )
    expect(status.verdict).toBe('Error')
    expect(story.object.metadata.finalizers ?? []).toEqual([])
    return story.targets
  }
  const [was, neverWas] = await Promise.all([over(held), over(armed)])
  expect(was).toMatchObject([{ state: 'reverted', outcome: 'noLongerExists' }])
  expect(neverWas).toMatchObject([{ state: 'failed', outcome: 'noLongerExists' }])
  // The machine itself keeps the deadline.
  await whenStressed(held.cpu, false, 30_000)
  expect(lastEnd(held.cpu) - endsAt).toBeLessThan(punctual)
  expect(lastEnd(armed.cpu)).toBe(0)
})
