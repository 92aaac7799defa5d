import { setTimeout as delay } from 'node:timers/promises'
import { experiment, experiments, type Place } from './place.ts'
import { percentile, type Sheet } from './sheet.ts'
import { answeredAt, now, type ProcessTrace } from './traces.ts'

const count = 100
/** at the same time: more of them would wait for each other on a small machine */
const targets = ['bench-abort-0', 'bench-abort-1']

/** A hundred aborts in mid-hold: the PATCH is answered → no process but the target's own is in its cgroup. */
export async function aborts(place: Place, sheet: Sheet): Promise<void> {
  await place.targets(Object.fromEntries(targets.map((app) => [app, 1])))
  await place.audit.begin()
  let next = 0
  const lane = async (app: string) => {
    const trace = await place.processes(app)
    try {
      while (next < count) await one({ place, sheet, app, trace }, `aborts-${next++}`)
    } finally {
      trace.close()
    }
  }
  await Promise.all(targets.map(lane))
  const took = sheet.values('aborts')
  const [half, most] = [50, 99].map((percent) => percentile(took, percent).toFixed(0))
  sheet.note(
    `abort accepted → no stressor left: p50 ${half} ms, p99 ${most} ms, ${took.length} aborts`,
  )
}

type Lane = { place: Place; sheet: Sheet; app: string; trace: ProcessTrace }

async function one({ place, sheet, app, trace }: Lane, name: string): Promise<void> {
  const env = { TOTAL_CHAOS_DURATION: 60, CPU_CORES: 1, CPU_LOAD: 25 }
  const from = now()
  await place.api.create(
    experiments,
    experiment(name, [{ fault: 'pod-cpu-hog', target: app, env }]),
  )
  await place.pods.until(`${name}: a stressor`, 60_000, () => trace.rise(from))
  // in mid-hold, not in the act of injecting
  await delay(500)
  const annotations = { 'chaos.chaosplane.io/abort': 'true' }
  await place.api.patch(`${experiments}/${name}`, { metadata: { annotations } })
  const fall = await place.pods.until(`${name}: no stressor`, 30_000, () => trace.fall())
  sheet.add('aborts', fall - (await abortedAt(place, name)))
  await place.verdictAt(name)
  await place.api.remove(`${experiments}/${name}`)
  await place.runs.until(`${name} is gone`, 30_000, () => !place.runs.get('v2', name))
}

async function abortedAt(place: Place, name: string): Promise<number> {
  const patched = (await place.audit.events()).find(
    ({ verb, objectRef, user }) =>
      verb === 'patch' && objectRef?.name === name && !user.username.includes('chaosplane'),
  )
  if (!patched) throw new Error(`${name}: the audit log does not show the annotation`)
  return answeredAt(patched)
}
