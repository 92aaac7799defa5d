import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Json } from '../watchers/api.ts'
import { cpuHog, experiment, podDelete } from './documents.ts'
import { World } from './world.ts'

/** Rights without which a pod that runs cannot be spoken to; all others are taken away against an API server alone. */
let world: World

beforeAll(async () => {
  world = await World.begin()
  await Promise.all(['mute', 'asked'].map((app) => world.target(app)))
})
afterAll(() => world?.end())

it('without "attach" of its own the fault ends at its own deadline, the run says so, and ends when it has it again', async () => {
  const [cpu] = world.watchCpu('mute').values()
  const { namespace } = world.installed
  const role = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles/chaosplane-runner`
  const { rules } = await world.api.get(role)
  const lesser = rules.filter(({ resources }: Json) => !resources.includes('pods/attach'))
  expect(lesser).toHaveLength(rules.length - 1)
  const document = experiment('no-attach', [cpuHog('mute', 6)])
  const story = world.follow(document)
  try {
    await world.api.patch(role, { rules: lesser })
    await world.run(document)
    await story.until('the right that is missing', 90_000, ({ run }) =>
      JSON.stringify(run ?? {}).includes(
        `the product itself may not create pods/attach in namespace ${namespace}`,
      ),
    )
    // nobody could tell it to end
    const [hold, ...more] = cpu?.holds() ?? []
    expect(more).toEqual([])
    expect((hold?.to ?? Number.POSITIVE_INFINITY) - (hold?.from ?? 0)).toBeLessThan(7500)
    // what is not known to be put back is not let go
    expect(story.object.metadata.finalizers).not.toEqual([])
  } finally {
    await world.api.patch(role, { rules })
  }
  const status = await story.finished(90_000)
  expect(status.tasks[0]).toMatchObject({ verdict: 'Error', errorCode: 'HELPER_ERROR' })
  // what its journal had to tell is heard after all
  expect(story.targets).toMatchObject([{ state: 'reverted', outcome: 'restored' }])
  expect(Math.abs(story.targets[0].heldMs - 6000)).toBeLessThan(1000)
  expect(cpu?.holds()).toHaveLength(1)
  expect(await story.residue()).toEqual([])
})

it('without "exec" of the account a command probe says so, and nothing is struck', async () => {
  const rbac = 'rbac.authorization.k8s.io'
  const metadata = { name: 'pods-only', namespace: 'v2' }
  const role = {
    apiVersion: `${rbac}/v1`,
    kind: 'Role',
    metadata,
    rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['create'] }],
  }
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata }
  const subjects = [{ kind: 'ServiceAccount', ...metadata }]
  const binding = (namespace: string, roleRef: Json) => ({
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    metadata: { ...metadata, namespace },
    roleRef: { apiGroup: rbac, ...roleRef },
    subjects,
  })
  const items = [
    account,
    role,
    binding('v2', { kind: 'Role', name: metadata.name }),
    binding('demo', { kind: 'ClusterRole', name: 'chaosplane-experiment' }),
  ]
  await world.apply({ apiVersion: 'v1', kind: 'List', items })
  const inputs = {
    command: 'echo well',
    comparator: { type: 'string', criteria: 'equal', value: 'well' },
  }
  const probe = {
    name: 'asks',
    type: 'cmdProbe',
    mode: 'SOT',
    'cmdProbe/inputs': inputs,
    runProperties: { probeTimeout: '5s', interval: '200ms', attempt: 1 },
  }
  const before = world.podsOf('asked').map(({ metadata: { uid } }) => uid)
  const story = await world.run(
    experiment('no-exec', [podDelete('asked', 2, { probes: [probe] })], {
      serviceAccountName: metadata.name,
    }),
  )
  expect((await story.finished()).verdict).toBe('Error')
  expect(JSON.stringify(story.run)).toContain('may not create pods/exec in namespace v2')
  expect(world.podsOf('asked').map(({ metadata: { uid } }) => uid)).toEqual(before)
  await world.pods.until('no pod of the probe', 10_000, () =>
    [...world.pods.objects.values()].every((pod) => pod.metadata.namespace !== 'v2'),
  )
  expect(await story.residue()).toEqual([])
})
