import { setTimeout as delay } from 'node:timers/promises'
import type { AuditEvent } from '../test-e2e/cluster/audit.ts'
import { busyboxImage } from '../test-e2e/cluster/basic-images.ts'
import { podGroup, processesIn } from '../test-e2e/watchers/cgroups.ts'
import { experiment, experiments, type Place } from './place.ts'
import type { Sheet } from './sheet.ts'
import { answeredAt, cameAt, memoryOf, now, ownRequests } from './traces.ts'

const total = (count: Map<string, number>): number => [...count.values()].reduce((a, b) => a + b, 0)
const said = (count: Map<string, number>): string =>
  [...count].map(([who, n]) => `${who} ${n}`).join(', ')

/** When the API server had stored the experiment. */
export function acceptedAt(events: AuditEvent[]): number {
  const created = events.find(
    ({ verb, objectRef }) =>
      verb === 'create' && objectRef?.resource === 'kuberneteschaosexperiments',
  )
  if (!created) throw new Error('the audit log does not show the creation of the experiment')
  return answeredAt(created)
}

/** pod-delete on one target: the first deletion, the requests; beside it three plain requests. */
export async function deletion(place: Place, sheet: Sheet, n: number): Promise<void> {
  sheet.floor('delete', await threeRequests(place, n))
  await place.ready('bench-delete', 2)
  const name = `delete-${n}`
  const env = { TOTAL_CHAOS_DURATION: 1, CHAOS_INTERVAL: 5 }
  await place.audit.begin()
  await place.api.create(
    experiments,
    experiment(name, [{ fault: 'pod-delete', target: 'bench-delete', env }]),
  )
  await place.verdictAt(name)
  await delay(500)
  const events = await place.audit.events()
  const first = events.find(
    ({ verb, objectRef }) =>
      verb === 'delete' && objectRef?.resource === 'pods' && objectRef.namespace === 'demo',
  )
  if (!first) throw new Error(`${name}: the audit log shows no deletion of a pod`)
  sheet.add('delete', cameAt(first) - acceptedAt(events))
  const count = ownRequests(events)
  sheet.add('requests-delete', total(count))
  if (n === 0) sheet.note(`requests of a pod-delete: ${said(count)}`)
  await place.clear(name)
}

async function threeRequests({ api }: Place, n: number): Promise<number> {
  const path = '/api/v1/namespaces/demo/configmaps'
  const name = `floor-${n}`
  const from = now()
  await api.create(path, { metadata: { name } })
  await api.get(`${path}/${name}`)
  await api.remove(`${path}/${name}`)
  return now() - from
}

/** pod-cpu-hog with nothing before it, in turns with a plain pod; its end, verdict, last report and memory. */
export async function cold(place: Place, sheet: Sheet, n: number): Promise<void> {
  sheet.floor('cold', await podStart(place, n))
  const trace = await place.traced('bench-one')
  const name = `cold-${n}`
  const env = { TOTAL_CHAOS_DURATION: 2, CPU_CORES: 1 }
  try {
    await place.audit.begin()
    const from = now()
    await place.api.create(
      experiments,
      experiment(name, [{ fault: 'pod-cpu-hog', target: 'bench-one', env }]),
    )
    const rise = await place.pods.until('CPU rises', 20_000, () => trace.rise(from))
    await delay(500)
    remember(place, sheet, 'holding')
    const verdict = await place.verdictAt(name)
    await delay(500)
    const events = await place.audit.events()
    const fall = trace.fall()
    if (fall === undefined) throw new Error(`${name}: CPU did not come back before the verdict`)
    sheet.add('cold', rise - acceptedAt(events))
    sheet.add('verdict', verdict - fall)
    const count = ownRequests(events)
    sheet.add('requests-cpu', total(count))
    if (n === 0) sheet.note(`requests of a pod-cpu-hog: ${said(count)}`)
    await reportsOf(place, sheet, name)
  } finally {
    trace.close()
  }
  await place.clear(name)
}

/** A plain pod on the same node as the target: creation answered → its process runs. */
async function podStart(place: Place, n: number): Promise<number> {
  const [target] = await place.ready('bench-one', 1)
  const node = target.spec.nodeName
  const path = '/api/v1/namespaces/demo/pods'
  const name = `floor-${n}`
  const containers = [{ name: 'c', image: busyboxImage, command: ['sleep', '4321'] }]
  const spec = { nodeName: node, terminationGracePeriodSeconds: 0, containers }
  const created = await place.api.create(path, { metadata: { name }, spec })
  const from = now()
  const runs = () => {
    const group = podGroup([node], created.metadata.uid)
    return group !== undefined && processesIn(group).some((p) => p.command === 'sleep 4321')
  }
  while (!runs()) {
    if (now() - from > 20_000) throw new Error('a plain pod did not start within 20 s')
    await delay(3)
  }
  const took = now() - from
  await place.api.remove(`${path}/${name}`)
  await place.pods.until(`${name} is gone`, 30_000, () => !place.pods.get('demo', name))
  return took
}

/** Two steps, the first behind a slow probe: its answer → CPU; end of the first → CPU of the second. */
export async function behindProbe(place: Place, sheet: Sheet, n: number): Promise<void> {
  const [one, two] = [await place.traced('bench-one'), await place.traced('bench-two')]
  const name = `probe-${n}`
  const env = { TOTAL_CHAOS_DURATION: 2, CPU_CORES: 1 }
  const answered = place.answers.length
  const tasks = [
    { fault: 'pod-cpu-hog', target: 'bench-one', env, probeUrl: place.probeUrl },
    { fault: 'pod-cpu-hog', target: 'bench-two', env },
  ]
  try {
    await place.api.create(experiments, experiment(name, tasks))
    await delay(2_000)
    remember(place, sheet, 'armed')
    const go = await place.pods.until(
      'the probe is answered',
      10_000,
      () => place.answers[answered],
    )
    const rise = await place.pods.until('CPU rises', 10_000, () => one.rise(go))
    const next = await place.pods.until('CPU of the second rises', 20_000, () => two.rise(rise))
    const fall = await place.pods.until('CPU of the first is back', 5_000, () => one.fall())
    sheet.add('probe', rise - go)
    sheet.add('second', next - fall)
    await place.verdictAt(name)
    const [first, second] = place.runs.get('v2', name).status.run.tasks
    sheet.add('probe-go', first.chaosAt - go)
    sheet.add('second-go', second.chaosAt - fall)
  } finally {
    one.close()
    two.close()
  }
  await place.clear(name)
}

function remember(place: Place, sheet: Sheet, key: 'armed' | 'holding'): void {
  const [pod] = place.podsOf('chaos.chaosplane.io/part', 'fault-pod')
  if (!pod) throw new Error(`no fault pod is there to look at (${key})`)
  const { rss, pss } = memoryOf(place.cluster.nodes, pod.metadata.uid)
  sheet.add(key, rss)
  sheet.add(`${key}-pss`, pss)
}

/** The first report of a run, and the one that closes it, which waits until its fault pods are gone. */
async function reportsOf({ recorder, runs }: Place, sheet: Sheet, name: string): Promise<void> {
  const { run, experimentRunId } = runs.get('v2', name).status
  const end = now() + 10_000
  for (;;) {
    const reports = recorder
      .requests('/task/response/')
      .filter(({ answered }) => answered === '200')
      .map(({ n, at }) => ({ at, ...JSON.parse(recorder.body(n).toString('utf8')) }))
      .filter(({ args }) => args.workflowRunID === experimentRunId)
    const last = reports.find(({ args }) => String(args.completed) === 'true')
    if (last) {
      sheet.add('kserver-first', reports[0].at - run.startedAt)
      sheet.add('kserver', last.at - run.finishedAt)
      return
    }
    if (now() > end) throw new Error(`${name}: no completed report came within 10 s`)
    await delay(50)
  }
}
