import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock, systemMonotonic } from '../lib/clock.ts'
import { configMaps, resourcePath } from '../lib/kube/paths.ts'
import { silentLog } from '../lib/log.ts'
import { haltConfigMap } from '../model/halt.ts'
import { PosedRunner } from '../runner/run/testing/posed-runner.ts'
import { drain } from './drain.ts'

const namespace = 'drain-tests'
let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone(namespace)
})
afterAll(() => runner?.end())

const target = (pool: string) => ({ labelSelector: { matchLabels: { pool } } })

it('nothing is begun behind the back of an uninstall, while it lasts and after it, and with the switch gone', async () => {
  await runner.makeNode('drained', { pool: 'drained' })
  await runner.taint('before', target('drained'))
  await runner.injected('before')
  const draining = drain(
    {
      client: runner.kube,
      clock: systemClock,
      monotonic: systemMonotonic,
      log: silentLog(),
      namespace,
      self: 'drain-0',
      deadlineMs: 60_000,
    },
    runner.call.signal,
  )
  await runner.until('before', (run) => run.abort !== undefined)
  await runner.taint('meanwhile', target('drained'))
  expect(await draining).toEqual([])
  await runner.taint('after', target('drained'))
  expect((await runner.finished('before')).abort).toBeDefined()
  for (const name of ['meanwhile', 'after'])
    expect(await runner.finished(name)).toMatchObject({
      refusedAs: 'Halted',
      tasks: [],
      refused: [{ reason: expect.stringContaining('chaosplane is being uninstalled') }],
    })
  expect(await runner.taints('drained')).toEqual([])
  // helm may take the ConfigMap before the runner's pod has ended
  const map = resourcePath({ ...configMaps, namespace, name: haltConfigMap })
  await runner.kube.remove(map, runner.call)
  await systemClock.sleep(1_000, runner.call.signal)
  await runner.taint('too-late', target('drained'))
  expect(await runner.finished('too-late')).toMatchObject({ refusedAs: 'Halted', tasks: [] })
  // installed anew: the switch is off
  const fresh = { metadata: { name: haltConfigMap } }
  await runner.kube.create(resourcePath({ ...configMaps, namespace }), fresh, runner.call)
  await systemClock.sleep(1_000, runner.call.signal)
  await runner.taint('again', target('drained'))
  await runner.injected('again')
  await runner.abort('again')
  await runner.finished('again')
  expect(await runner.taints('drained')).toEqual([])
})
