import { afterAll, beforeAll, expect, it } from 'vitest'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import { createKubeClient, type KubeClient } from './client.ts'
import { loadKubeConfig } from './config.ts'
import { NotSent } from './errors.ts'
import { fenced } from './fenced.ts'
import { configMaps, namespaces, resourcePath } from './paths.ts'
import { startUnrulyProxy } from './testing/unruly-proxy.ts'
import type { KubeObject } from './types.ts'

const namespace = 'fenced-tests'
const call = { signal: AbortSignal.timeout(60_000) }
const place = (name?: string) => resourcePath({ ...configMaps, namespace, ...(name && { name }) })
let client: KubeClient

beforeAll(async () => {
  const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
  client = createKubeClient({ config, userAgent: 'fenced-tests/1' })
  await client.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
  await client.create(place(), { metadata: { name: 'a' }, data: { n: '1' } }, call)
})
afterAll(() => client?.close())

const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { n: '2' } }
const writes: [string, (by: KubeClient) => Promise<unknown>][] = [
  ['apply', (by) => by.apply(place('a'), body, { ...call, fieldManager: 'x', force: true })],
  ['mergePatch', (by) => by.mergePatch(place('a'), { data: { n: '3' } }, call)],
  [
    'jsonPatch',
    (by) => by.jsonPatch(place('a'), [{ op: 'replace', path: '/data/n', value: '4' }], call),
  ],
  ['replace', (by) => by.replace(place('a'), { ...body, data: { n: '5' } }, call)],
  ['create', (by) => by.create(place(), { metadata: { name: 'b' } }, call)],
  ['remove', (by) => by.remove(place('a'), call)],
]

it.each(writes)(
  '%s is not sent while the fence is closed, and is when it is open',
  async (_, write) => {
    let open = false
    const by = fenced(client, () => open)
    const before = await by.list<KubeObject>(place(), call)
    await expect(write(by)).rejects.toThrow(NotSent)
    expect((await by.list<KubeObject>(place(), call)).items).toEqual(before.items)
    open = true
    await write(by)
    expect((await by.list<KubeObject>(place(), call)).items).not.toEqual(before.items)
  },
)

it('is asked before every attempt, not before the first alone', async () => {
  const proxy = await startUnrulyProxy(apiServer().kubeconfig)
  const far = createKubeClient({ config: proxy.config, userAgent: 'fenced-tests/1' })
  proxy.rule(() => ({ do: 'reset' }))
  const asked: boolean[] = []
  const by = fenced(far, () => {
    asked.push(asked.length < 2)
    return asked.at(-1) ?? false
  })
  const call = { signal: AbortSignal.timeout(20_000), fieldManager: 'x', force: true }
  await expect(by.apply(place('c'), body, call)).rejects.toThrow(NotSent)
  expect(asked).toEqual([true, true, false])
  await far.close()
  await proxy.close()
})
