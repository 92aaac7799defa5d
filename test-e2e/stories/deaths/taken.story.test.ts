import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../cluster/shell.ts'
import type { Json } from '../../watchers/api.ts'
import { stressorsOn } from '../../watchers/cgroups.ts'
import { type Watch, whenStressed } from '../burnt.ts'
import { cpuHog, experiment } from '../documents.ts'
import { type Story, World } from '../world.ts'

/** A fault pod that is told to go puts back within this, milliseconds: TERM comes a moment after the order. */
const soonMs = 1500
const part = 'chaos.chaosplane.io/part'
let world: World
let home = ''
let away = ''

beforeAll(async () => {
  world = await World.begin()
  home = world.program('runner')[0]?.spec.nodeName
  away = world.installed.nodes.find((name) => name !== home) ?? ''
  await world.target('quarry', 1, { nodeSelector: { 'kubernetes.io/hostname': away } })
})
afterAll(async () => {
  try {
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

const holds = (cpu: Watch) => [...cpu.values()].flatMap((watch) => watch.holds())

async function hold(name: string) {
  const cpu = world.watchCpu('quarry')
  const story = await world.run(experiment(name, [cpuHog('quarry', 40)]))
  await whenStressed(cpu, true, 60_000)
  await story.injected()
  return { cpu, story, pod: world.faultPods(story.run.runId)[0] as Json }
}

/** Stress is gone soon after kubelet was told to end the pod, and the run says why. */
async function expectPutBack({ cpu, story, from }: { cpu: Watch; story: Story; from: number }) {
  await whenStressed(cpu, false, 10_000)
  const tookMs = Math.max(...holds(cpu).map(({ to }) => to ?? Number.POSITIVE_INFINITY)) - from
  console.log(`${story.path.split('/').at(-1)}: clean after ${tookMs} ms`)
  expect(tookMs).toBeLessThan(soonMs)
  const status = await story.finished(90_000)
  expect(status.verdict).toBe('Error')
  expect(status.tasks[0].errorCode).toBe('CUT_SHORT')
  expect(status.run.tasks[0].injections).toBe(1)
  expect(await story.residue()).toEqual([])
  return status
}

/** When the API first showed that the pod goes. */
async function whenLeaving({ metadata }: Json): Promise<number> {
  const leaving = () =>
    world.pods.history.find(
      ({ object }) => object.metadata.uid === metadata.uid && object.metadata.deletionTimestamp,
    )?.at
  return world.pods.until(`${metadata.name} leaves`, 30_000, leaving)
}

const kubectl = (...args: string[]) =>
  run(world.installed.kubectl, [`--kubeconfig=${world.installed.kubeconfig}`, ...args], {
    timeoutMs: 100_000,
  })

describe('a fault pod that has to make room', () => {
  it('preempted by a pod of a higher priority: put back within a second, cut short', async () => {
    const { cpu, story, pod } = await hold('preempted')
    // It bears no fault pod beside it, and may send away whatever has a lower priority: only that one must go.
    const bully = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'bully', namespace: 'kube-system' },
      spec: {
        priorityClassName: 'system-node-critical',
        nodeSelector: { 'kubernetes.io/hostname': away },
        terminationGracePeriodSeconds: 0,
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              {
                labelSelector: { matchLabels: { [part]: 'fault-pod' } },
                namespaceSelector: {},
                topologyKey: 'kubernetes.io/hostname',
              },
            ],
          },
        },
        containers: [
          { name: 'main', image: world.installed.image, command: ['sleep', '600'], resources: {} },
        ],
      },
    }
    await world.apply(bully)
    try {
      const from = await whenLeaving(pod)
      const status = await expectPutBack({ cpu, story, from })
      expect(status.tasks[0].failStep).toContain('preempted')
      const events = await world.api.get(
        `/api/v1/namespaces/${pod.metadata.namespace}/events?fieldSelector=involvedObject.uid=${pod.metadata.uid},reason=Preempted`,
      )
      expect(events.items).toHaveLength(1)
      // it has its place
      await world.pods.until('the bully runs', 30_000, () =>
        [...world.pods.objects.values()].some(
          ({ metadata, status: { phase } }) => metadata.name === 'bully' && phase === 'Running',
        ),
      )
    } finally {
      await world.api.remove('/api/v1/namespaces/kube-system/pods/bully')
    }
  })

  const drain = (...more: string[]) =>
    kubectl('drain', away, '--ignore-daemonsets', '--delete-emptydir-data', '--force', ...more)

  it('drained away alone: put back within a second, cut short', async () => {
    const { cpu, story, pod } = await hold('drained')
    try {
      const [from] = await Promise.all([
        whenLeaving(pod),
        drain(`--pod-selector=${part}=fault-pod`),
      ])
      await expectPutBack({ cpu, story, from })
    } finally {
      await kubectl('uncordon', away)
    }
  })

  it('with the whole node drained, the target too: nothing is left, and the run ends', async () => {
    const { cpu, story, pod } = await hold('drained-whole')
    try {
      const [from] = await Promise.all([whenLeaving(pod), drain('--timeout=80s')])
      await expectPutBack({ cpu, story, from })
    } finally {
      await kubectl('uncordon', away)
      await world.ready('quarry', 1)
    }
  })
})
