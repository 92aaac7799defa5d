import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../watchers/api.ts'
import { experiment, podDelete } from './documents.ts'
import { World } from './world.ts'

let world: World

beforeAll(async () => {
  world = await World.begin()
  await world.target('cmd-probed', 2)
  await world.apply(probeRights)
})
afterAll(() => world?.end())

/** What the page about rights says that a cmd probe needs in the experiment's own namespace. */
const probeRights = {
  apiVersion: 'v1',
  kind: 'List',
  items: [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'cmd-probes', namespace: 'v2' },
      rules: [
        { apiGroups: [''], resources: ['pods'], verbs: ['create'] },
        { apiGroups: [''], resources: ['pods/exec'], verbs: ['get', 'create'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'cmd-probes', namespace: 'v2' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'cmd-probes' },
      subjects: [{ kind: 'ServiceAccount', name: 'litmus', namespace: 'v2' }],
    },
  ],
}

const cmdProbe = (name: string, mode: string, command: string, value: string) => ({
  name,
  type: 'cmdProbe',
  mode,
  'cmdProbe/inputs': { command, comparator: { type: 'string', criteria: 'equal', value } },
  runProperties: {
    probeTimeout: '5s',
    interval: '200ms',
    attempt: 2,
    probePollingInterval: '500ms',
  },
})

/** Everything that was ever seen of pods in the experiment's namespace since `since`. */
const podsSince = (since: number): Json[] =>
  world.pods.history
    .filter(({ at, object }) => at >= since && object.metadata.namespace === 'v2')
    .map(({ object }) => object)

const noPodsLeft = () =>
  world.pods.until('no pod left in v2', 10_000, () =>
    [...world.pods.objects.values()].every(({ metadata }) => metadata.namespace !== 'v2'),
  )

describe('cmd probes', () => {
  it('share one pod without token, root or volume, which is gone at the end', async () => {
    const since = Date.now()
    const probes = [
      cmdProbe('before', 'SOT', 'id -u', '65532'),
      cmdProbe('during', 'Continuous', 'ls /var/run/secrets 2>/dev/null | wc -l', '0'),
      cmdProbe('after', 'EOT', 'echo x > /tmp/y && cat /tmp/y', 'x'),
    ]
    const task = podDelete('cmd-probed', 6, { probes })
    const story = await world.run(experiment('cmd-probe-passes', [task]))
    await story.finished()
    expect(story.status).toMatchObject({ verdict: 'Pass', probeSuccessPercentage: '100' })
    const [{ probes: judged }] = story.run.tasks
    expect(judged.map((p: Json) => p.verdict)).toEqual(['Passed', 'Passed', 'Passed'])
    expect(judged[1].evaluations).toBeGreaterThan(2)
    const seen = podsSince(since)
    expect(new Set(seen.map(({ metadata }) => metadata.uid)).size).toBe(1)
    const [{ spec }] = seen as [Json]
    expect(spec.automountServiceAccountToken).toBe(false)
    expect(spec.volumes ?? []).toEqual([])
    expect(spec.containers[0].securityContext.capabilities).toEqual({ drop: ['ALL'] })
    await noPodsLeft()
    expect(await story.residue()).toEqual([])
  })

  it('whose comparison is false fail the run', async () => {
    const probes = [cmdProbe('wrong', 'EOT', 'echo no', 'yes')]
    const task = podDelete('cmd-probed', 2, { probes })
    const story = await world.run(experiment('cmd-probe-fails', [task]))
    await story.finished()
    expect(story.status.verdict).toBe('Fail')
    expect(JSON.stringify(story.run)).toContain('CMD_PROBE_FAILURE')
    await noPodsLeft()
  })

  it('whose command cannot be run are an Error, not a Fail, and nothing is struck', async () => {
    const probes = [cmdProbe('missing', 'SOT', 'no-such-program', 'ok')]
    const task = podDelete('cmd-probed', 2, { probes })
    const story = await world.run(experiment('cmd-probe-errs', [task]))
    await story.finished()
    expect(story.status.verdict).toBe('Error')
    expect(JSON.stringify(story.run)).toContain('exit status 127')
    expect(story.targets.filter((t: Json) => t.injectedAt)).toEqual([])
    await noPodsLeft()
  })
})
