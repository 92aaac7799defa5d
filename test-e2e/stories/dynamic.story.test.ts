import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { NodeOrder, NodeTarget } from '../../model/fault-pod.ts'
import { orderVariables } from '../../model/order-env.ts'
import type { Json } from '../watchers/api.ts'
import { podGroup, processesIn, stressorsIn } from '../watchers/cgroups.ts'
import { cpuHog, experiment } from './documents.ts'
import { type Story, World } from './world.ts'

let world: World

beforeAll(async () => {
  world = await World.begin()
  await Promise.all(['growing', 'fixed', 'looping', 'restarting'].map((app) => world.target(app)))
})
afterAll(() => world?.end())

const scale = (app: string, replicas: number) =>
  world.api.patch(`/apis/apps/v1/namespaces/demo/deployments/${app}`, { spec: { replicas } })

const groupsOf = (app: string): [string, string][] =>
  world.podsOf(app).flatMap(({ metadata }): [string, string][] => {
    const group = podGroup(world.installed.nodes, metadata.uid)
    return group ? [[metadata.name, group]] : []
  })
const stressed = (app: string): string[] =>
  groupsOf(app)
    .filter(([, group]) => stressorsIn(group).length > 0)
    .map(([name]) => name)

async function begin(name: string, app: string, seconds: number, mode: string): Promise<Story> {
  const env = { POD_AFFECTED_PERCENTAGE: 100, CPU_LOAD: 30, TARGETS_MODE: mode }
  const story = await world.run(experiment(name, [cpuHog(app, seconds, { env })]))
  await story.injected()
  return story
}

/** Ends the application in a pod's container; kubelet starts it again. */
function crash(app: string): void {
  for (const [, group] of groupsOf(app))
    for (const { pid, command } of processesIn(group))
      if (!command.includes('stress-ng') && command.includes('node')) process.kill(pid, 'SIGKILL')
}

it('hits pods that come while the fault holds, on other nodes too, and ends with the first ones', async () => {
  const story = await begin('grows', 'growing', 40, 'dynamic')
  const [first] = story.targets
  const at = Date.now()
  await scale('growing', 3)
  await world.ready('growing', 3)
  console.log(`grows: 3 pods ready after ${Date.now() - at} ms`)
  await expect.poll(() => stressed('growing').length, { timeout: 30_000, interval: 20 }).toBe(3)
  console.log(`grows: 3 pods burn after ${Date.now() - at} ms`)
  const [gone] = world.podsOf('growing').filter((p) => p.metadata.name !== first.name)
  await world.api.remove(`/api/v1/namespaces/demo/pods/${gone?.metadata.name}`)
  await expect
    .poll(() => stressed('growing').filter((name) => name !== gone?.metadata.name).length, {
      timeout: 30_000,
      interval: 20,
    })
    .toBe(3)
  const status = await story.finished()
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  const [task] = status.run.tasks
  expect(task.targets.length).toBeGreaterThanOrEqual(4)
  expect(new Set(task.targets.map((t: Json) => t.node)).size).toBe(2)
  const hit = task.targets.filter((t: Json) => t.injectedAt)
  console.log(
    `grows: ${JSON.stringify(hit.map((t: Json) => [t.round, t.holdMs, t.heldMs, t.revertedAt - first.endsAt]))}`,
  )
  for (const t of hit) expect(t.revertedAt - first.endsAt).toBeLessThan(1500)
  const end = hit.find((t: Json) => t.name === gone?.metadata.name)
  expect(end).toMatchObject({ cut: true, outcome: 'noLongerExists' })
  expect(await story.residue()).toEqual([])
})

it('an order for 200 targets of the longest names reaches its pod', async () => {
  const target = (i: number): NodeTarget => ({
    id: `${'n'.repeat(63)}/${'p'.repeat(250)}${i}/${'c'.repeat(63)}`,
    namespace: 'n'.repeat(63),
    pod: `${'p'.repeat(250)}${i}`,
    podUid: 'u'.repeat(36),
    container: 'c'.repeat(63),
    containerId: 'i'.repeat(64),
  })
  const targets = Array.from({ length: 200 }, (_, i) => target(i + 100))
  const order = { targets } as NodeOrder
  const text = JSON.stringify(order)
  const look = `const e = process.env; let t = e.CHAOSPLANE_ORDER + (e.CHAOSPLANE_ORDER_2 ?? ''); process.exit(t.length === ${text.length} && JSON.parse(t).targets.length === 200 ? 0 : 1)`
  const start = (name: string, env: object[]) =>
    world.api.create('/api/v1/namespaces/demo/pods', {
      metadata: { name, namespace: 'demo' },
      spec: {
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        containers: [
          { name: 'a', image: world.installed.image, command: ['node', '-e', look], env },
        ],
      },
    })
  const variables = orderVariables(order)
  expect(variables.length).toBe(2)
  await start('order-in-parts', variables)
  await start('order-in-one', [{ name: 'CHAOSPLANE_ORDER', value: text }])
  const phaseOf = (name: string) =>
    [...world.pods.objects.values()].find((p) => p.metadata.name === name)?.status.phase
  await expect.poll(() => phaseOf('order-in-parts'), { timeout: 60_000 }).toBe('Succeeded')
  await expect.poll(() => phaseOf('order-in-one'), { timeout: 60_000 }).toBe('Failed')
  for (const name of ['order-in-parts', 'order-in-one'])
    await world.api.remove(`/api/v1/namespaces/demo/pods/${name}?gracePeriodSeconds=0`)
})

it('in static mode nobody is added', async () => {
  const story = await begin('stays', 'fixed', 6, 'static')
  await scale('fixed', 2)
  await world.ready('fixed', 2)
  await delay(1000)
  expect(stressed('fixed').length).toBeLessThanOrEqual(1)
  const status = await story.finished()
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect(status.run.tasks[0].targets).toHaveLength(1)
  expect(await story.residue()).toEqual([])
})

it('a container that starts again is cut short in static mode, and hit again in dynamic mode', async () => {
  const cut = await begin('loops-static', 'looping', 20, 'static')
  await delay(1500)
  crash('looping')
  const status = await cut.finished()
  expect(status).toMatchObject({ verdict: 'Error' })
  expect(status.tasks[0].errorCode).toBe('CUT_SHORT')
  console.log(`loops-static: held ${cut.targets[0].heldMs} ms`)
  expect(Math.abs(cut.targets[0].heldMs - 1500)).toBeLessThan(1500)
  expect(await cut.residue()).toEqual([])
  const again = await begin('loops-dynamic', 'restarting', 20, 'dynamic')
  await delay(1500)
  crash('restarting')
  await again.until('another record', 15_000, ({ targets }) =>
    targets.some((t) => t.round === 1 && t.state === 'injected'),
  )
  const over = await again.finished()
  expect(over).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  const [first, second] = again.targets
  expect(first).toMatchObject({ cut: true, outcome: 'noLongerExists' })
  expect(second.id).toBe(first.id)
  expect(second.containerId).not.toBe(first.containerId)
  console.log(`loops-dynamic: ${JSON.stringify(again.targets.map((t) => [t.holdMs, t.heldMs]))}`)
  expect(first.heldMs + second.heldMs).toBeLessThan(20_500)
  expect(await again.residue()).toEqual([])
})
