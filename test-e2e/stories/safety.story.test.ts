import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endOfAudit, readAudit } from '../cluster/audit.ts'
import { run } from '../cluster/shell.ts'
import { chaosExperiment, cpuHog, experiment, podDelete } from './documents.ts'
import { setValues } from './release.ts'
import { type Story, World } from './world.ts'

const app = 'strongbox'
const demo = '/api/v1/namespaces/demo'
const protectedLabel = 'chaos.chaosplane.io/protected'
const dryRun = { 'chaos.chaosplane.io/dry-run': 'true' }
let world: World

beforeAll(async () => {
  world = await World.begin()
  await world.target(app)
})
afterAll(() => world?.end())

const auditEnd = () => endOfAudit(world.installed.auditLog)

/** What the product has written since then, apart from its Leases, its Events and what it says of a run. */
async function writesSince(since: number): Promise<string[]> {
  const events = await readAudit(world.installed.auditLog, since)
  const own = new Set(['leases', 'events', 'subjectaccessreviews'])
  return events
    .filter((e) => e.userAgent?.startsWith('chaosplane'))
    .filter((e) => !['get', 'list', 'watch'].includes(e.verb))
    .filter((e) => !own.has(e.objectRef?.resource ?? '') && e.objectRef?.subresource !== 'status')
    .map((e) => `${e.verb} ${e.requestURI}`)
}
const uids = (): string[] => world.podsOf(app).map(({ metadata }) => metadata.uid)
const label = (value: string | null) =>
  world.api.patch(demo, { metadata: { labels: { [protectedLabel]: value } } })
const conditionOf = (
  status: { conditions?: { type: string; reason: string; message: string }[] },
  type: string,
) => status.conditions?.find((c) => c.type === type)

/** `npm run halt`, as a user calls it. */
const halt = (...args: string[]): Promise<string> =>
  run(
    process.execPath,
    [
      join(import.meta.dirname, '../../cli/halt/main.ts'),
      ...['--kubeconfig', world.installed.kubeconfig, '--namespace', world.installed.namespace],
      ...args,
    ],
    { timeoutMs: 60_000 },
  )

it('a namespace with the label is not touched, and the refusal names the field', async () => {
  const before = uids()
  await label('true')
  try {
    const since = await auditEnd()
    const story = await world.run(experiment('protected', [podDelete(app, 4)]))
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Failed', verdict: 'Error' })
    expect(conditionOf(status, 'Refused')).toMatchObject({
      reason: 'Protected',
      message: expect.stringMatching(
        /^spec\.tasks\[name=delete-strongbox\]\.definition\.targets: namespace demo is protected by its label/,
      ),
    })
    const deletions = (await writesSince(since)).filter((write) => write.startsWith('delete'))
    expect(deletions).toEqual([])
    expect(uids()).toEqual(before)
  } finally {
    await label(null)
  }
})

describe('what the chart allows at the most', () => {
  const crowd = 'crowd'
  const limits = (perExperiment: number, minHealthy: string) =>
    setValues(
      world,
      `protection.maxTargets.perExperiment=${perExperiment}`,
      `protection.minHealthy=${minHealthy}`,
    )
  const deletion = (name: string, percent: number) =>
    world.run(
      experiment(name, [podDelete(crowd, 2, { env: { POD_AFFECTED_PERCENTAGE: percent } })]),
    )
  const uidsOfCrowd = (): string[] => world.podsOf(crowd).map(({ metadata }) => metadata.uid)
  async function refused(story: Story, why: RegExp): Promise<void> {
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Error', verdict: 'Error' })
    expect(status.run.tasks[0]).toMatchObject({
      injections: 0,
      trouble: { reason: expect.stringMatching(why) },
    })
  }
  beforeAll(() => world.target(crowd, 2))
  afterAll(() => limits(0, '0'))

  it('more targets than one experiment may hit: none is', async () => {
    await limits(1, '0')
    const before = uidsOfCrowd()
    await refused(
      await deletion('too-many', 100),
      /2 targets would be hit; protection\.maxTargets\.perExperiment of the chart is 1: choose at most 1/,
    )
    expect(uidsOfCrowd()).toEqual(before)
    const story = await deletion('just-one', 50)
    expect(await story.finished()).toMatchObject({ verdict: 'Pass' })
    expect(uidsOfCrowd()).not.toEqual(before)
    await world.ready(crowd, 2)
  })

  it('fewer pods of a workload than must stay ready: nothing is deleted', async () => {
    await limits(0, '2')
    const before = uidsOfCrowd()
    await refused(
      await deletion('too-few', 50),
      /1 of the 2 pods of Deployment\/demo\/crowd would stay ready, 2 are now; protection\.minHealthy of the chart is 2, so 2 must stay/,
    )
    expect(uidsOfCrowd()).toEqual(before)
  })
})

it('a dry run of a fault on a node: targets, commands, rights; no fault pod, no claim, no slot, no write', async () => {
  const since = await auditEnd()
  const document = experiment('rehearsed', [cpuHog(app, 30)])
  const story = await world.run({
    ...document,
    metadata: { ...document.metadata, annotations: dryRun },
  })
  const status = await story.finished()
  expect(status).toMatchObject({ phase: 'Completed', verdict: 'N/A' })
  expect(conditionOf(status, 'DryRun')).toMatchObject({ reason: 'NothingTouched' })
  const [task] = status.run.tasks
  const [pod] = world.podsOf(app)
  expect(task.targets).toMatchObject([{ uid: pod.metadata.uid, state: 'untouched' }])
  expect(task.rehearsal.inject[0]).toContain('stress-ng --cpu 1')
  expect(task.rehearsal.undo[0]).toContain('kill -9')
  expect(task.rehearsal.rights).toEqual([
    { verb: 'create', resource: 'pods/exec', namespace: 'demo', allowed: true },
  ])
  expect(await writesSince(since)).toEqual([])
  const said = [...world.pods.history].filter(
    ({ object }) => object.metadata.labels?.['chaos.chaosplane.io/run'] === status.run.runId,
  )
  expect(said).toEqual([])
})

it('a dry run of a deletion deletes nothing', async () => {
  const since = await auditEnd()
  const before = uids()
  const document = chaosExperiment('rehearsed-kill', app, {
    action: { type: 'pod-kill', parameters: {} },
    duration: '5s',
  })
  const annotations = { ...document.metadata.annotations, ...dryRun }
  const story = await world.run({ ...document, metadata: { ...document.metadata, annotations } })
  const status = await story.finished()
  expect(status).toMatchObject({ phase: 'Completed', verdict: 'N/A' })
  const [pod] = world.podsOf(app)
  expect(status.run.tasks[0].rehearsal.inject).toEqual([
    expect.stringContaining(`kubectl -n demo delete pod ${pod.metadata.name}`),
  ])
  expect(await writesSince(since)).toEqual([])
  expect(uids()).toEqual(before)
})

it('the kill switch puts everything back, refuses what is new, and lets it run again when lifted', async () => {
  const document = experiment('halted-new', [podDelete(app, 4)])
  const story = await world.run(experiment('halted', [cpuHog(app, 120)]))
  await story.injected()
  try {
    const pulled = Date.now()
    const said = await halt('incident', '17')
    console.log(`halt to nothing held: ${Date.now() - pulled} ms`)
    expect(said).toContain('Nothing is held any more')
    // What the command says is so: looked at before anything else is waited for.
    expect(await story.residue()).toEqual([])
    const status = await story.finished()
    expect(status).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
    expect(status.run.abort.by).toBe('the kill switch (incident 17)')
    expect(story.targets).toMatchObject([{ state: 'reverted', outcome: 'restored' }])

    const since = await auditEnd()
    const refused = await world.run(document)
    const answer = await refused.finished()
    expect(answer).toMatchObject({ phase: 'Failed', verdict: 'Error' })
    expect(conditionOf(answer, 'Refused')).toMatchObject({
      reason: 'Halted',
      message: expect.stringContaining('incident 17'),
    })
    const deletions = (await writesSince(since)).filter((write) => write.startsWith('delete'))
    expect(deletions).toEqual([])
  } finally {
    await halt('--lift')
  }
  const after = await world.run(experiment('halted-after', [podDelete(app, 2)]))
  expect(await after.finished()).toMatchObject({ verdict: 'Pass' })
  const refused = world.follow(document)
  expect(conditionOf(refused.status, 'Refused')?.reason).toBe('Halted')
})
