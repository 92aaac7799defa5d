import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { PosedRunner } from '../../runner/run/testing/posed-runner.ts'
import { halt } from './halt.ts'

const namespace = 'halt-tests'
let kube: KubeClient
let runner: PosedRunner
const said: string[] = []

beforeAll(async () => {
  runner = await PosedRunner.alone(namespace)
  kube = runner.kube
})
afterAll(() => runner?.end())

const turn = (reason: string | null, at = namespace) =>
  halt(
    { namespace: at, reason, timeoutMs: 30_000 },
    { client: kube, clock: systemClock, say: (line) => said.push(line) },
    AbortSignal.timeout(60_000),
  )

it('aborts what runs, follows until it is put back, refuses what is new, and runs again when lifted', async () => {
  await runner.makeNode('halt-node')
  await runner.taint('halted', { names: ['halt-node'] })
  await runner.injected('halted')
  expect(await runner.taints('halt-node')).toEqual(['story'])

  expect(await turn('incident 17')).toEqual([])
  expect(await runner.taints('halt-node')).toEqual([])
  const { abort, tasks } = await runner.finished('halted')
  expect(abort?.by).toBe('the kill switch (incident 17)')
  expect(tasks[0]?.targets[0]).toMatchObject({ state: 'reverted', outcome: 'restored' })
  expect(said).toEqual([
    'Halted: everything that runs is aborted, nothing new is begun.',
    '1 experiment is still held',
    'Nothing is held any more. Lift it with --lift.',
  ])

  await runner.taint('refused', { names: ['halt-node'] })
  const refused = await runner.finished('refused')
  expect(refused).toMatchObject({ refusedAs: 'Halted', tasks: [] })
  expect(refused.refused?.[0]).toMatchObject({
    path: `ConfigMap ${namespace}/chaosplane-harness, annotation chaos.chaosplane.io/halt`,
    reason: 'the kill switch is pulled (incident 17), so nothing is begun',
  })

  expect(await turn(null)).toEqual([])
  await runner.taint('after', { names: ['halt-node'] })
  await runner.injected('after')
  expect(await runner.taints('halt-node')).toEqual(['story'])
  expect((await runner.finished('refused')).runId).toBe(refused.runId)
  await turn('the test is over')
  expect(await runner.taints('halt-node')).toEqual([])
})

it('names the namespace that has no switch', async () => {
  await expect(turn('x', 'elsewhere')).rejects.toThrow(
    'there is no ConfigMap chaosplane-harness in namespace elsewhere: name the namespace of the release with --namespace',
  )
})
