import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import { createKubeClient, type KubeClient } from './client.ts'
import { loadKubeConfig } from './config.ts'
import { makeRoom, type Room, type Thing, thingType } from './testing/things.ts'
import { startUnrulyProxy, type UnrulyProxy } from './testing/unruly-proxy.ts'
import type { KubeObject } from './types.ts'

const signal = AbortSignal.timeout(120_000)
const call = { signal }
let direct: KubeClient
let client: KubeClient
let proxy: UnrulyProxy
let room: Room

beforeAll(async () => {
  const file = apiServer().kubeconfig
  direct = createKubeClient({ config: loadKubeConfig({ file, env: {} }), userAgent: 'tests/1' })
  proxy = await startUnrulyProxy(file)
  client = createKubeClient({ config: proxy.config, userAgent: 'client-under-test/1' })
  room = await makeRoom(direct, 'kube-client')
})
afterEach(() => proxy.obey())
afterAll(async () => {
  await Promise.all([direct?.close(), client?.close()])
  await proxy?.close()
})

const tooMany = { do: 'answer', status: 429, headers: { 'retry-after': '1' } } as const
const countOf = async (prefix: string) =>
  (await direct.list<KubeObject>(room.all, call)).items.filter((t) =>
    t.metadata.name.startsWith(prefix),
  ).length
const named = (name: string) => ({ ...thingType, metadata: { name } })
const nameless = (prefix: string) => ({ ...thingType, metadata: { generateName: prefix } })

describe('a write', () => {
  it('that the server put off (429) is made once, after Retry-After', async () => {
    proxy.next(1, /POST/, tooMany)
    const startedAt = performance.now()
    await client.create(room.all, nameless('put-off-'), call)
    expect(performance.now() - startedAt).toBeGreaterThan(950)
    expect(await countOf('put-off-')).toBe(1)
  })

  it('without a name whose answer was lost is not repeated', async () => {
    proxy.next(1, /POST/, { do: 'lose-answer' })
    const creating = client.create(room.all, nameless('lost-'), call)
    await expect(creating).rejects.toMatchObject({ status: 0, reason: 'Unreachable' })
    expect(await countOf('lost-')).toBe(1)
  })

  it('with a name whose answer was lost is repeated, and says that it was done before', async () => {
    proxy.next(1, /POST/, { do: 'lose-answer' })
    const creating = client.create(room.all, named('twice'), call)
    await expect(creating).rejects.toMatchObject({ status: 409, reason: 'AlreadyExists' })
  })

  it('by server-side apply survives a lost answer', async () => {
    proxy.next(2, /PATCH/, { do: 'lose-answer' })
    const body = { ...named('applied'), spec: { a: 1 } }
    const thing = await client.apply<Thing>(room.path('applied'), body, {
      ...call,
      fieldManager: 'one',
    })
    expect(thing.spec).toEqual({ a: 1 })
  })

  it('without a precondition is not repeated after a reset', async () => {
    await room.create('patched')
    proxy.next(1, /PATCH/, { do: 'reset' })
    const patching = client.mergePatch(room.path('patched'), { spec: { a: 1 } }, call)
    await expect(patching).rejects.toMatchObject({ reason: 'Unreachable' })
  })

  it('with a delete precondition spares a namesake', async () => {
    const first = await room.create('namesake')
    await direct.remove(room.path('namesake'), call)
    await room.create('namesake')
    const removing = client.remove(room.path('namesake'), { ...call, uid: first.metadata.uid })
    await expect(removing).rejects.toMatchObject({ status: 409 })
    expect(await countOf('namesake')).toBe(1)
  })
})

describe('a read', () => {
  it.each([
    ['a reset', { do: 'reset' } as const],
    ['a lost answer', { do: 'lose-answer' } as const],
    ['a 500', { do: 'answer', status: 500, body: 'boom' } as const],
    ['a 503 without Retry-After', { do: 'answer', status: 503 } as const],
  ])('is repeated after %s', async (_name, fate) => {
    proxy.next(2, /GET/, fate)
    await expect(client.list(room.all, call)).resolves.toBeDefined()
  })

  it('ends at its deadline and says so', async () => {
    proxy.rule(() => ({ do: 'hang' }))
    const getting = client.get('/version', { ...call, deadlineMs: 200 })
    await expect(getting).rejects.toMatchObject({ reason: 'DeadlineExceeded' })
  })

  it('hears its signal at once, with the caller’s reason', async () => {
    proxy.rule(() => ({ do: 'hang' }))
    const controller = new AbortController()
    const getting = client.get('/version', { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('changed my mind')), 50)
    await expect(getting).rejects.toThrow('changed my mind')
  })

  it('names what is missing, and find gives undefined for it', async () => {
    const getting = client.get(room.path('nowhere'), call)
    await expect(getting).rejects.toMatchObject({ status: 404, details: { name: 'nowhere' } })
    expect(await client.find(room.path('nowhere'), call)).toBeUndefined()
  })

  it('pages through a long list, and gives items their kind', async () => {
    const spot = await makeRoom(direct, 'kube-client-pages')
    const names = Array.from({ length: 1_100 }, (_, i) => `n${i}`)
    await Promise.all(names.map((name) => spot.create(name)))
    const before = proxy.seen.length
    const { items } = await client.list<Thing>(spot.all, call)
    expect(new Set(items.map((t) => t.metadata.name)).size).toBe(1_100)
    expect(items[1_000]).toMatchObject(thingType)
    expect(proxy.seen.length - before).toBe(3)
  })
})

describe('an account', () => {
  const account = 'system:serviceaccount:kube-client:worker'

  it('that is impersonated has its own rights and no others', async () => {
    const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/kube-client'
    await direct.create(
      `${rbac}/roles`,
      {
        metadata: { name: 'reader' },
        rules: [{ apiGroups: ['test.chaosplane.io'], resources: ['things'], verbs: ['list'] }],
      },
      call,
    )
    await direct.create(
      `${rbac}/rolebindings`,
      {
        metadata: { name: 'reader' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
        subjects: [{ kind: 'ServiceAccount', name: 'worker', namespace: 'kube-client' }],
      },
      call,
    )
    // The authorizer hears of a new binding a moment after it is stored.
    const listed = () => client.list(room.all, { ...call, as: account }).then(() => true)
    await expect.poll(() => listed().catch(() => false), { timeout: 10_000 }).toBe(true)
    const creating = client.create(room.all, named('not-mine'), { ...call, as: account })
    await expect(creating).rejects.toMatchObject({ status: 403, reason: 'Forbidden' })
    await expect(creating).rejects.toThrow(/create.*things.*kube-client.*grant/s)
  })
})

it('keeps to a few connections, and says who it is', async () => {
  const before = proxy.connections()
  for (let i = 0; i < 100; i++) await client.get('/version', call)
  expect(proxy.connections() - before).toBeLessThanOrEqual(1)
  await Promise.all(Array.from({ length: 100 }, () => client.get('/version', call)))
  expect(proxy.connections() - before).toBeLessThanOrEqual(16)
  expect(proxy.seen.at(-1)?.agent).toBe('client-under-test/1')
})

it('two managers of one status keep to their own fields', async () => {
  await room.create('shared')
  const path = `${room.path('shared')}/status`
  const apply = (fieldManager: string, status: object) =>
    client.apply<Thing>(path, { ...named('shared'), status }, { ...call, fieldManager })
  await apply('one', { phase: 'Running', note: 'x' })
  await apply('two', { report: { steps: 1 } })
  const thing = await apply('one', { phase: 'Done' })
  expect(thing.status).toEqual({ phase: 'Done', report: { steps: 1 } })
  await expect(apply('two', { report: { steps: 2 }, phase: 'Mine' })).rejects.toMatchObject({
    status: 409,
  })
})
