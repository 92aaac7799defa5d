import { afterAll, beforeAll, expect, it } from 'vitest'
import { until } from '../../lib/kube/testing/until.ts'
import { abandonAnnotation } from '../../model/abandon.ts'
import { PosedRunner } from './testing/posed-runner.ts'

let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone('abandon-tests', {}, { unruly: true })
})
afterAll(() => runner?.end())

it('what a human gave up while no runner lived stays asked for until it is on record', async () => {
  const { kube, proxy, call } = runner
  await runner.makeNode('burned')
  await runner.taint('given-up', { names: ['burned'] })
  await runner.injected('given-up')
  const invalid = { do: 'answer', status: 422, body: 'the node is broken' } as const
  const busy = { do: 'answer', status: 500, body: 'busy' } as const
  let isBusy = false
  let offered = 0
  proxy.rule((method, url) => {
    if (method !== 'PATCH') return { do: 'pass' }
    if (url.includes('/nodes/burned')) return invalid
    const isRecord = isBusy && url.includes('/given-up/status')
    if (isRecord) offered++
    return isRecord ? busy : { do: 'pass' }
  })
  await runner.abort('given-up')
  await runner.until('given-up', (run) => run.tasks[0]?.targets.some((t) => t.state === 'owed'))
  const asked = async () =>
    (await runner.experiment('given-up')).metadata.annotations?.[abandonAnnotation]
  await runner.replace(async () => {
    isBusy = true
    const annotations = { [abandonAnnotation]: 'it burned' }
    await kube.mergePatch(runner.pathOf('given-up'), { metadata: { annotations } }, call)
  })
  await until('the next runner tries to record it', () => offered > 3)
  expect(await asked()).toBe('it burned')
  isBusy = false
  const run = await runner.finished('given-up')
  expect(run.abandoned?.reason).toBe('it burned')
  expect(run.tasks[0]?.targets.map((t) => t.state)).toEqual(['abandoned'])
  expect(await asked()).toBeUndefined()
})
