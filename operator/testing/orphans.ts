import { expect } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import type { CrashPoint } from '../../lib/crash.ts'
import { leases, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { abandonAnnotation } from '../../model/abandon.ts'
import { podName } from '../../model/fault-pod-recovery.ts'
import { faultPodLabels } from '../../model/fault-pod-spec.ts'
import { claimAnnotation, runFinalizer } from '../../model/runner-life.ts'
import type { TargetState } from '../../model/state.ts'
import type { Experiment } from '../experiment/observe.ts'
import type { BareCluster } from './bare-cluster.ts'
import { done, running, startedAt, target } from './runs.ts'
import { conditionsOf, type Stage } from './stage.ts'

/** Where it is done. */
export type Parts = {
  stage: Stage
  cluster: BareCluster
  home: string
  /** phase and verdict, each time that it was another one and not awaited */
  verdictsOf(name: string): string[]
}

/** A way of the operator, with its points. */
export type Way = {
  points: readonly CrashPoint[]
  /** makes what is left without a runner */
  pose(on: Parts, name: string): Promise<unknown>
  /** waits until all is as it should be, and looks closely */
  end(on: Parts, name: string): Promise<void>
}

const nameOf = ({ metadata }: Experiment, attempt: number): string =>
  podName({ run: metadata.uid, task: running.name, node: 'n1' }, attempt)

export async function podsOf({ stage, home }: Parts, { metadata }: Experiment): Promise<string[]> {
  const query = { labelSelector: `${faultPodLabels.uid}=${metadata.uid}` }
  const path = resourcePath({ ...pods, namespace: home })
  const { items } = await stage.tests.list<KubeObject>(path, { ...stage.call, query })
  return items.map((pod) => pod.metadata.name)
}

/** A pod is under stress, and the fault pod is gone as the runner is: one pod more, and no other. */
export const lost: Way = {
  points: ['operator/pod-wanted', 'operator/pod-making', 'operator/pod-made', 'operator/pod-told'],
  async pose(parts, name) {
    const object = await parts.stage.createClaimed(name)
    const targets = [{ ...target, container: 'app', containerId: 'c1' }]
    const made = { pods: [nameOf(object, 1)], acknowledged: { n1: 7 } }
    const task = { ...running, fault: 'pod-cpu-hog', targets, ...made }
    await parts.stage.asRunner(object, { tasks: [task] })
    return object
  },
  async end(parts, name) {
    const { stage } = parts
    const object = await stage.get(name)
    const second = nameOf(object, 2)
    await stage.until(second, async () => (await podsOf(parts, object)).includes(second))
    await systemClock.sleep(1_500, stage.call.signal)
    expect(await podsOf(parts, object)).toEqual([second])
    const after = await stage.get(name)
    expect(after.status?.run).toEqual(object.status?.run)
    expect(after.metadata.finalizers).toContain(runFinalizer)
    expect(after.metadata.annotations?.[claimAnnotation]).toBe('r/1')
  },
}

/** A node is tainted, and nobody could take the taint off before the runner went. */
async function poseOwed({ stage, cluster }: Parts, name: string): Promise<Experiment> {
  const { metadata } = await cluster.makeNode(name, [
    { key: 'chaos', value: 'on', effect: 'NoSchedule' },
  ])
  const object = await stage.createClaimed(name)
  const owed: TargetState = {
    ...{ id: `node/${name}`, kind: 'Node', namespace: '', name, node: name, uid: metadata.uid },
    ...{ wave: 0, state: 'owed', injectedAt: startedAt + 1 },
    undo: { taints: [] },
  }
  await stage.asRunner(object, { tasks: [{ ...running, fault: 'node-taint', targets: [owed] }] })
  return object
}

const toTheEnd = [
  'operator/claiming',
  'operator/claimed',
  'operator/letting-go',
  'operator/let-go',
] as const

/** A human says that nothing more is to be tried: what is left is recorded, and is left to him. */
const givenUp: Way = {
  points: ['operator/giving-up', 'operator/recorded', ...toTheEnd],
  async pose(parts, name) {
    const object = await poseOwed(parts, name)
    await parts.stage.annotate(object, { [abandonAnnotation]: 'the node burned' })
  },
  async end(parts, name) {
    const { stage } = parts
    const after = await stage.until(`${name} at its end`, async () => {
      const seen = await stage.get(name)
      return seen.status?.verdict === 'Error' && !seen.metadata.finalizers?.length && seen
    })
    expect(after.status?.run).toMatchObject({
      abandoned: { reason: 'the node burned' },
      tasks: [{ stage: 'done', targets: [{ id: `node/${name}`, state: 'abandoned' }] }],
    })
    expect(after.status?.run?.tasks[0]?.targets[0]?.remaining).toHaveLength(1)
    expect(after.metadata.annotations ?? {}).toEqual({})
    expect(conditionsOf(after)).toMatchObject({ Abandoned: 'True GivenUp' })
    await stage.until('the verdict', async () => parts.verdictsOf(name).length > 0)
    expect(parts.verdictsOf(name)).toEqual([`${after.status?.phase} Error`])
    await stage.until(`the Event of ${name}`, async () =>
      (await stage.reasonsOf(after)).includes('Abandoned'),
    )
    expect(await parts.cluster.taints(name)).toEqual(['chaos=on'])
  },
}

/** In deletion, and all is put back. */
const released: Way = {
  points: toTheEnd,
  async pose({ stage }, name) {
    const object = await stage.createClaimed(name)
    const targets = [{ ...target, state: 'reverted' as const }]
    await stage.asRunner(object, { tasks: [{ ...running, targets }] })
    await stage.tests.remove(stage.place(name), stage.call)
  },
  async end({ stage, cluster }, name) {
    await stage.until(`${name} gone`, () => cluster.isGone(stage.place(name)))
  },
}

/** A human wants to give up, and does not say why. */
const turnedDown: Way = {
  points: ['operator/turning-down', 'operator/turned-down'],
  async pose(parts, name) {
    await parts.stage.annotate(await poseOwed(parts, name), { [abandonAnnotation]: '' })
  },
  async end(parts, name) {
    const { stage } = parts
    const after = await stage.until(`the order of ${name} taken off`, async () => {
      const seen = await stage.get(name)
      return !(abandonAnnotation in (seen.metadata.annotations ?? {})) && seen
    })
    expect(after.metadata.finalizers).toContain(runFinalizer)
    expect(after.status?.run).toMatchObject({ tasks: [{ targets: [{ state: 'owed' }] }] })
    await stage.until(`the Event of ${name}`, async () =>
      (await stage.reasonsOf(after)).includes('AbandonRefused'),
    )
  },
}

/** A fault pod that was left behind by a run that is over; that of one that is held stays. */
const swept: Way = {
  points: ['operator/sweep-chosen', 'operator/sweeping', 'operator/swept'],
  async pose({ stage, cluster, home }, name) {
    const of = ({ metadata }: Experiment) => ({
      labels: { [faultPodLabels.run]: 'x', [faultPodLabels.uid]: metadata.uid },
    })
    const over = await stage.createClaimed(name)
    await stage.asRunner(over, { tasks: [done], finishedAt: startedAt + 10_000 })
    await stage.letGo(over)
    await cluster.makePod(home, name, of(over))
    const held = await stage.createClaimed(`${name}-held`)
    await stage.asRunner(held, { tasks: [done] })
    await cluster.makePod(home, `${name}-held`, of(held))
  },
  async end({ stage, home }, name) {
    const place = { ...pods, namespace: home }
    // there is no kubelet that ends it
    await stage.until(`pod ${name} in deletion`, async () => {
      const path = resourcePath({ ...place, name })
      const pod = await stage.tests.find<KubeObject>(path, stage.call)
      return !pod || pod.metadata.deletionTimestamp !== undefined
    })
    const needed = resourcePath({ ...place, name: `${name}-held` })
    const { metadata } = await stage.tests.get<KubeObject>(needed, stage.call)
    expect(metadata.deletionTimestamp).toBeUndefined()
  },
}

/** The Lease of a runner without a pod; that of one whose pod is there stays. */
const lease: Way = {
  points: ['operator/lease-sweeping', 'operator/lease-swept'],
  pose: ({ cluster, home }, name) => cluster.makeLease(home, name),
  async end({ stage, cluster, home }, name) {
    const pathOf = (one: string) => resourcePath({ ...leases, namespace: home, name: one })
    await stage.until(`Lease ${name} gone`, () => cluster.isGone(pathOf(name)))
    expect(await cluster.isGone(pathOf('chaosplane-runner-r'))).toBe(false)
  },
}

/** All of them, by the name that their objects begin with. */
export const ways: Record<string, Way> = {
  ...{ lost, released, swept, lease },
  'given-up': givenUp,
  'turned-down': turnedDown,
}
