import { setTimeout as delay } from 'node:timers/promises'
import { podGroup, processesIn } from '../test-e2e/watchers/cgroups.ts'
import { experiment, experiments, type Place } from './place.ts'
import type { Sheet } from './sheet.ts'
import { answeredAt, now } from './traces.ts'

/** A run that is aborted by annotation while it holds; beside it, how long a plain watch takes to show the change. */
export async function abort(place: Place, sheet: Sheet, n: number): Promise<void> {
  const trace = await place.traced('bench-one')
  const name = `abort-${n}`
  const env = { TOTAL_CHAOS_DURATION: 30, CPU_CORES: 1 }
  try {
    const from = now()
    await place.api.create(
      experiments,
      experiment(name, [{ fault: 'pod-cpu-hog', target: 'bench-one', env }]),
    )
    await place.pods.until('CPU rises', 20_000, () => trace.rise(from))
    await delay(1_000)
    await place.audit.begin()
    const annotations = { 'chaos.chaosplane.io/abort': 'true' }
    const asked = now()
    await place.api.patch(`${experiments}/${name}`, { metadata: { annotations } })
    const seen = await place.runs.until('the abort is seen', 5_000, () => {
      const shows = place.runs.history.findLast(
        ({ object }) =>
          object.metadata.name === name &&
          object.metadata.annotations?.['chaos.chaosplane.io/abort'] === 'true',
      )
      return shows?.at
    })
    const fall = await place.pods.until('CPU is back', 10_000, () => trace.fall())
    const patched = (await place.audit.events()).find(
      ({ verb, objectRef, user }) =>
        verb === 'patch' && objectRef?.name === name && !user.username.includes('chaosplane'),
    )
    if (!patched) throw new Error(`${name}: the audit log does not show the annotation`)
    sheet.add('abort', fall - answeredAt(patched))
    sheet.floor('abort', seen - asked)
    sheet.floor('verdict', seen - asked)
    await place.verdictAt(name)
  } finally {
    trace.close()
  }
  await place.clear(name)
}

const leases = '/apis/coordination.k8s.io/v1/namespaces/chaosplane/leases'

/** The pod of the operator that holds the lease. */
export async function leaderName(place: Place): Promise<string> {
  const lease = await place.api.get(`${leases}/chaosplane-operator`)
  return String(lease.spec.holderIdentity ?? '').split('/')[0] ?? ''
}

/** SIGKILL of the leading operator until another one holds the lease. */
export async function leaderKilled(place: Place, sheet: Sheet, _n: number): Promise<void> {
  const leader = await leaderName(place)
  const pod = place.pods.get('chaosplane', leader)
  const group = pod && podGroup(place.cluster.nodes, pod.metadata.uid)
  const [program] = group ? processesIn(group).filter((p) => p.command.includes('operator')) : []
  if (!program) throw new Error(`no process of the leading operator "${leader}" is found`)
  const held = place.api.follow(leases)
  try {
    await held.until('the lease is seen', 5_000, () =>
      held.get('chaosplane', 'chaosplane-operator'),
    )
    const from = now()
    process.kill(program.pid, 'SIGKILL')
    const at = await held.until('another operator leads', 30_000, () => {
      const change = held.history.find(({ at, object }) => {
        const holder = object.spec.holderIdentity ?? ''
        return (
          at > from &&
          object.metadata.name === 'chaosplane-operator' &&
          holder !== '' &&
          !holder.startsWith(`${leader}/`)
        )
      })
      return change?.at
    })
    sheet.add('leader', at - from)
  } finally {
    held.close()
  }
  // A fresh pod in its place: restarts of the same one would wait longer each time.
  await place.api.remove(`/api/v1/namespaces/chaosplane/pods/${leader}?gracePeriodSeconds=0`)
  await place.pods.until('two operators are ready', 60_000, () => operators(place).length === 2)
  await delay(1_000)
}

const operators = (place: Place) =>
  place
    .podsOf('app.kubernetes.io/component', 'operator')
    .filter(({ status }) => status.containerStatuses?.[0]?.ready === true)
