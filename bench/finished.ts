import { setTimeout as delay } from 'node:timers/promises'
import type { Json } from '../test-e2e/watchers/api.ts'
import { leaderName } from './endings.ts'
import { experiment, experiments, type Place } from './place.ts'
import type { Sheet } from './sheet.ts'
import { memoryOf } from './traces.ts'

const copies = 10_000
const atOnce = 32
const deployments = '/apis/apps/v1/namespaces/chaosplane/deployments'
const programs = ['operator', 'runner'] as const

/**
 * Memory of operators and runner that start where 10,000 finished resources are: copies of one that really ran,
 * with a probe, a fault in a fault pod and one through the API. Nobody works while the copies are made, or each
 * would be a run of its own.
 */
export async function finished(place: Place, sheet: Sheet): Promise<void> {
  const model = await ranOnce(place)
  const replicas = await Promise.all(programs.map((name) => scale(place, name, 0)))
  await fill(place, model)
  await Promise.all(programs.map((name, i) => scale(place, name, replicas[i] ?? 1)))
  const all = replicas.reduce((a, b) => a + b, 0)
  await place.pods.until('operators and runner are ready again', 120_000, () => {
    const ready = podsOf(place).filter(({ pod }) => pod.status.containerStatuses?.[0]?.ready)
    return ready.length === all
  })
  const leader = await leaderName(place)
  for (let i = 0; i < 10; i++) {
    await delay(3_000)
    for (const { name, pod } of podsOf(place)) {
      const { rss, peak } = memoryOf(place.cluster.nodes, pod.metadata.uid)
      const waits = name === 'operator' && pod.metadata.name !== leader
      sheet.add(waits ? 'standby-10k' : `${name}-10k`, rss)
      if (i === 9 && !waits) sheet.add(`${name}-10k-peak`, peak)
      const restarts = pod.status.containerStatuses[0].restartCount
      if (restarts > 0) throw new Error(`${pod.metadata.name} was restarted ${restarts} times`)
    }
  }
}

const podsOf = (place: Place) =>
  programs.flatMap((name) =>
    place.podsOf('app.kubernetes.io/component', name).map((pod) => ({ name, pod })),
  )

/** One finished run, as it stands in the API server. */
async function ranOnce(place: Place): Promise<Json> {
  const env = { TOTAL_CHAOS_DURATION: 2, CPU_CORES: 1 }
  const tasks = [
    { fault: 'pod-cpu-hog', target: 'bench-one', env, probeUrl: place.probeUrl },
    { fault: 'pod-delete', target: 'bench-delete', env: { TOTAL_CHAOS_DURATION: 1 } },
  ]
  await place.api.create(experiments, experiment('finished', tasks))
  const verdict = await place.verdictAt('finished').then(() => place.runs.get('v2', 'finished'))
  if (verdict.status.verdict !== 'Pass') throw new Error(`the model run: ${verdict.status.verdict}`)
  await place.runs.until('the runner lets go of it', 30_000, () => {
    const { metadata, status } = place.runs.get('v2', 'finished')
    return status.endTime !== undefined && (metadata.finalizers ?? []).length === 0
  })
  return place.runs.get('v2', 'finished')
}

/** Sets the replicas of one of our Deployments; resolves with what they were, when nothing too many is left. */
async function scale(place: Place, program: string, to: number): Promise<number> {
  const path = `${deployments}/chaosplane-${program}`
  const { spec } = await place.api.get(path)
  await place.api.patch(path, { spec: { replicas: to } })
  await place.pods.until(`${program} has ${to} pods`, 60_000, () => {
    const left = place.pods.objects.values()
    const of = (pod: Json) => pod.metadata.labels?.['app.kubernetes.io/component'] === program
    return [...left].filter(of).length <= Math.max(to, 0) || to > 0
  })
  return spec.replicas
}

/** Makes the copies in a namespace of their own, as kubectl would have: with the document in an annotation. */
async function fill(place: Place, { apiVersion, kind, spec, status }: Json): Promise<void> {
  const namespace = 'finished'
  await place.api.create('/api/v1/namespaces', { metadata: { name: namespace } })
  const path = experiments.replace('/v2/', `/${namespace}/`)
  const last = (name: string) => ({
    'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({
      ...{ apiVersion, kind, spec },
      metadata: { name, namespace },
    }),
  })
  let next = 0
  const work = async () => {
    for (let n = next++; n < copies; n = next++) {
      const name = `finished-${n}`
      const metadata = { name, annotations: last(name) }
      const { metadata: made } = await place.api.create(path, { apiVersion, kind, metadata, spec })
      const run = { ...status.run, runId: made.uid }
      await place.api.patch(`${path}/${name}/status`, {
        status: { ...status, experimentRunId: made.uid, run },
      })
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}
