import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parse } from 'yaml'
import { endOfAudit, readAudit } from '../cluster/audit.ts'
import type { Json } from '../watchers/api.ts'
import { logOf, reportsOf } from '../watchers/peers.ts'
import { peerWords, type Story, World } from './world.ts'

const published = readFileSync(
  join(import.meta.dirname, '../../examples/seed-experiment.yaml'),
  'utf8',
)
const fixture = JSON.parse(
  readFileSync(
    join(import.meta.dirname, '../../model/wire/fixtures/kserver-task-response.request.json'),
    'utf8',
  ),
)
const [deletion, hog] = ['pod-delete-wm3', 'pod-cpu-hog-pys']
/** The published document; only its durations are shortened. */
const text = published
  .replace('value: "30"', 'value: "6"')
  .replace('value: "10"', 'value: "2"')
  .replace('value: "60"', 'value: "5"')

let world: World
let story: Story
let cpu: ReturnType<World['watchCpu']>
/** where the audit log stood before the run */
let audited = 0

beforeAll(async () => {
  world = await World.begin()
  // A machine that sets its clock or stands still in mid-run upsets every duration: then the run is repeated.
  for (let tries = 3; tries > 0; tries--) {
    story = world.follow(parse(text))
    await world.forget(story)
    cpu = world.watchCpu('podtato-left-leg')
    audited = await endOfAudit(world.installed.auditLog)
    await world.apply(text, '--server-side')
    const status = await story.finished()
    const upsets = world.clock.since(story.createdAt)
    if (upsets.length === 0 || status.verdict === 'Pass') return
    console.error('the machine was upset; the run is repeated', JSON.stringify(upsets))
  }
})
afterAll(() => world?.end())

it('deletes real pods at the interval, one at a time, by their uid', () => {
  const [first] = story.run.tasks
  const struck = first.targets.map((t: Json) => t.uid)
  const gone = world.pods.history.filter(
    ({ object, type }) => type === 'DELETED' && struck.includes(object.metadata.uid),
  )
  expect(struck.length).toBe(3)
  expect(new Set(gone.map(({ object }) => object.metadata.uid)).size).toBe(3)
  const marked = world.pods.history.filter(
    ({ object }) => struck.includes(object.metadata.uid) && object.metadata.deletionTimestamp,
  )
  const times = struck.map((uid: string) => marked.find((m) => m.object.metadata.uid === uid)?.at)
  expect(times[1] - times[0]).toBeGreaterThan(1700)
  expect(times[1] - times[0]).toBeLessThan(2500)
  expect(times[2] - times[1]).toBeLessThan(2500)
})

it('acts with the rights of the account that the experiment names, and no others', async () => {
  const events = await readAudit(world.installed.auditLog, audited)
  const inDemo = events.filter(
    ({ user, objectRef }) =>
      objectRef?.namespace === 'demo' &&
      user.username.startsWith('system:serviceaccount:chaosplane'),
  )
  const deletions = inDemo.filter(({ verb }) => verb === 'delete')
  expect(deletions.map(({ objectRef }) => objectRef?.resource)).toEqual(['pods', 'pods', 'pods'])
  expect(deletions.every(({ responseStatus }) => responseStatus?.code === 200)).toBe(true)
  const acted = inDemo.filter(({ verb }) => !['list', 'watch', 'get'].includes(verb))
  expect(new Set(acted.map(({ impersonatedUser }) => impersonatedUser?.username))).toEqual(
    new Set(['system:serviceaccount:v2:litmus']),
  )
})

it('burns CPU in the cgroup of the target and of nobody else, for as long as was asked', () => {
  const [target] = story.run.tasks[1].targets
  const holds = [...cpu].flatMap(([pod, watch]) => watch.holds().map((h) => ({ ...h, pod })))
  expect(holds.map(({ pod }) => pod)).toEqual([target.name])
  const [hold] = holds as [(typeof holds)[0]]
  expect((hold.to ?? 0) - hold.from).toBeGreaterThan(4800)
  expect((hold.to ?? 0) - hold.from).toBeLessThan(6000)
  expect(hold.cpuMs).toBeGreaterThan(1500)
})

it('ends with the verdict Pass and the score 100, and leaves nothing', async () => {
  expect(story.status).toMatchObject({
    phase: 'Completed',
    verdict: 'Pass',
    resiliencyScore: 100,
    probeSuccessPercentage: '100',
    faultsPassed: 2,
    totalFaults: 2,
  })
  expect(story.run.tasks.map((t: Json) => t.probes[0].verdict)).toEqual(['Passed', 'Passed'])
  expect(await story.residue()).toEqual([])
})

const shape = (value: Json): Json =>
  value && typeof value === 'object' && !Array.isArray(value)
    ? Object.entries(value).map(([key, v]) => [key, shape(v)])
    : Array.isArray(value)
      ? 'list'
      : typeof value

it('tells kserver CREATE, then UPDATE, in the published bytes, with completed last', async () => {
  await expect
    .poll(() => reportsOf(world.recorder, story.run.runId).at(-1)?.args.completed)
    .toBe('true')
  const reports = reportsOf(world.recorder, story.run.runId)
  expect(reports.map(({ data }) => data.eventType)).toEqual([
    'CREATE',
    ...reports.slice(1).map(() => 'UPDATE'),
  ])
  expect(reports.slice(0, -1).every(({ args }) => args.completed === 'false')).toBe(true)
  for (const { url, accessKey, args } of reports) {
    expect(url.pathname).toBe('/chaos/kserver/api/infra/v2/task/response/prodecommerce')
    expect(Object.fromEntries(url.searchParams)).toEqual({
      environmentIdentifier: peerWords.environmentId,
      accountIdentifier: peerWords.accountId,
      organizationIdentifier: peerWords.orgId,
      projectIdentifier: peerWords.projectId,
    })
    expect(accessKey).toBe(peerWords.accessKey)
    expect(Object.keys(args)).toEqual(Object.keys(fixture.args))
  }
  // The published snapshot is of the moment in which the first task runs: no finishedAt, no helper pods.
  const same = reports.find(
    ({ data }) =>
      data.eventType === 'UPDATE' &&
      data.nodes[`api-payload-test-${deletion}`].phase === 'Running' &&
      data.nodes[`api-payload-test-${hog}`].phase === 'Pending' &&
      data.nodes[`api-payload-test-${hog}`].chaosData.helperPodDetails === null,
  )
  const [ours, theirs] = [same?.data, JSON.parse(fixture.args.executionData)]
  expect(shape(ours)).toEqual(shape(theirs))
  expect(same?.text).toBe(JSON.stringify(ours))
  const timeless = (t: string): string => t.replace(/"\d{10}"/g, '"T"')
  expect(timeless(same?.text ?? '').replaceAll(story.run.runId, 'RUN')).toBe(
    timeless(fixture.args.executionData).replaceAll(fixture.args.workflowRunID, 'RUN'),
  )
})

it('reports the end as the graph says it', () => {
  const { data, args } = reportsOf(world.recorder, story.run.runId).at(-1) as Json
  expect(args).toMatchObject({ workflowName: 'api-payload-test', infraID: 'prodecommerce' })
  expect(data.phase).toBe('Completed')
  const node = (task: string): Json => data.nodes[`api-payload-test-${task}`]
  expect(data.nodes['api-payload-test'].children).toEqual([`api-payload-test-${deletion}`])
  expect(node(deletion).children).toEqual([`api-payload-test-${hog}`])
  expect(node(hog).children).toBe(null)
  for (const task of [deletion, hog]) {
    expect(node(task).startedAt).toMatch(/^\d{10}$/)
    expect(node(task).finishedAt).toMatch(/^\d{10}$/)
    expect(node(task).chaosData).toMatchObject({
      experimentVerdict: 'Pass',
      probeSuccessPercentage: '100',
      streamID: `${story.run.runId}-${task}`,
    })
  }
})

it('writes one log for each task, opened, in order, closed, with the words of the fault pods', async () => {
  for (const task of [deletion, hog] as string[]) {
    const log = () => logOf(world.recorder, `${story.run.runId}-${task}`)
    await expect.poll(() => log().calls.at(-1), { timeout: 10_000 }).toBe('DELETE /log-service')
    const { calls, lines } = log()
    expect(calls[0]).toBe('POST /log-service')
    expect(calls.slice(1, -1).every((c) => /(PUT .*\/stream|POST .*\/blob)$/.test(c))).toBe(true)
    expect(lines.map(({ pos }) => pos)).toEqual(lines.map((_, i) => i + 1))
    expect(Object.keys(lines[0] ?? {})).toEqual(['level', 'pos', 'out', 'time', 'args'])
    // What is armed early speaks before its task begins.
    expect(lines.map(({ out }) => out)).toContain(`[Start]: ${task.slice(0, -4)} FAULT START`)
    expect(lines.every(({ time }) => /^\d{4}-.*T\d\d:\d\d:\d\dZ$/.test(time))).toBe(true)
    expect(lines.every(({ args }) => args.PodName && args.PodNamespace === 'chaosplane')).toBe(true)
  }
  const pods = new Set(
    logOf(world.recorder, `${story.run.runId}-${hog}`).lines.map((l) => l.args.PodName),
  )
  expect([...pods].some((pod) => pod.startsWith('pod-cpu-hog-pys-'))).toBe(true)
})
