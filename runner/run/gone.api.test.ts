import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { events, resourcePath } from '../../lib/kube/paths.ts'
import { until } from '../../lib/kube/testing/until.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { runFinalizer } from '../../model/runner-life.ts'
import { PosedRunner } from './testing/posed-runner.ts'

const namespace = 'gone-tests'
/** An abort has this long, milliseconds. */
const abortMs = 5000
let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone(namespace, {}, { unruly: true })
})
afterAll(() => runner?.end())

type Event = KubeObject & {
  type: string
  reason: string
  note: string
  regarding: { name: string }
}
const told = async (where: string, name: string): Promise<string[]> => {
  const path = resourcePath({ ...events, namespace: where })
  const { items } = await runner.kube.list<Event>(path, runner.call)
  return items
    .filter(({ reason, regarding }) => reason === 'ResourceGone' && regarding.name === name)
    .map(({ type, note }) => `${type} ${note}`)
    .toSorted()
}

/** What cures a namespace that stays in Terminating: the finalizer is stripped, and the resource is gone at once. */
async function strip(name: string): Promise<void> {
  const { kube, call } = runner
  const path = runner.pathOf(name)
  const { metadata } = await runner.experiment(name)
  expect(metadata.finalizers).toContain(runFinalizer)
  await kube.mergePatch(path, { metadata: { finalizers: null } }, call)
  await kube.remove(path, call)
  expect(await kube.find(path, call)).toBeUndefined()
}

const isClean = async (node: string): Promise<boolean> => (await runner.taints(node)).length === 0

describe('a resource that is removed while its run holds something', () => {
  it('is put back all the same, and Events say so', async () => {
    await runner.makeNode('held')
    await runner.taint('stripped', { names: ['held'] })
    const { runId } = await runner.injected('stripped')
    await strip('stripped')
    await until('the node is as before', () => isClean('held'), abortMs)
    await until('it is told', async () => (await told(namespace, 'stripped')).length > 1)
    const notes = await told(namespace, 'stripped')
    expect(notes).toEqual([
      `Normal Run ${runId}, whose resource was removed, has ended: nothing of it is held any more.`,
      expect.stringMatching(
        /^Warning Run .* is aborted: the resource no longer exists.*: node\/held\.$/,
      ),
    ])
    // A namespace in deletion takes none.
    await until(
      'it is told of the namespace',
      async () => (await told('default', namespace)).length > 1,
    )
  })

  it('has nothing begun that waited for its record', async () => {
    await runner.makeNode('spared')
    const { proxy } = runner
    const busy = { do: 'answer', status: 500, body: 'busy' } as const
    proxy.rule((method, url) =>
      method === 'PATCH' && url.includes('/waiting/status') ? busy : { do: 'pass' },
    )
    const writes = (dry: boolean) =>
      proxy.seen.filter(
        ({ method, url }) =>
          method !== 'GET' && url.includes('/nodes/spared') && url.includes('dryRun') === dry,
      )
    await runner.taint('waiting', { names: ['spared'] })
    await until('it has planned, and waits for its record', () => writes(true).length > 0)
    await strip('waiting')
    proxy.obey()
    await until('it has ended', async () => (await told(namespace, 'waiting')).length > 1)
    expect(writes(false)).toEqual([])
  })

  it('is put back by a runner that is to end', async () => {
    await runner.makeNode('last')
    await runner.taint('at-the-end', { names: ['last'] })
    await runner.injected('at-the-end')
    const { proxy } = runner
    let refused = 0
    proxy.rule((method, url) =>
      method !== 'GET' && url.includes('/nodes/last') && refused++ < 5
        ? { do: 'answer', status: 500, body: 'busy' }
        : { do: 'pass' },
    )
    await strip('at-the-end')
    await until('it tries', () => refused > 0)
    await runner.stop()
    expect(await isClean('last')).toBe(true)
  })
})
