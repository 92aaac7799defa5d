import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { executionDataOf } from './execution-data.ts'
import type { Plan } from './plan.ts'
import type { RunState, TaskState } from './state.ts'
import { runState, taskState } from './testing.ts'
import { encodeExecutionData, encodeTaskResponse } from './wire/kserver.ts'

const fixture = (name: string): string =>
  readFileSync(new URL(`wire/fixtures/${name}`, import.meta.url), 'utf8')

const plan = {
  dialect: 'KubernetesChaosExperiment',
  namespace: 'v2',
  name: 'api-payload-test',
  steps: [['pod-delete-wm3'], ['pod-cpu-hog-pys']],
  tasks: [],
} as unknown as Plan

const task = (name: string, fault: string, over: Partial<TaskState> = {}): TaskState =>
  taskState(name, { fault, ...over })

const started = 1_746_117_494_000
const run = (first: Partial<TaskState>, over: Partial<RunState> = {}): RunState =>
  runState([task('pod-delete-wm3', 'pod-delete', first), task('pod-cpu-hog-pys', 'pod-cpu-hog')], {
    runId: '76079280-cfd6-4390-8ea4-86771c10f44e',
    notifyId: 'b957d7d0-a83d-4728-988d-a035575672e4',
    runner: 'r',
    startedAt: started,
    ...over,
  })

it('is the published update, byte for byte', () => {
  const at = 1_746_117_528_000
  const data = executionDataOf(plan, run({ stage: 'chaos', startedAt: at, stageAt: at }), 'UPDATE')
  const body = JSON.parse(fixture('kserver-task-response.request.json'))
  expect(encodeExecutionData(data)).toBe(body.args.executionData)
  const ids = {
    infraId: 'prodecommerce',
    notifyId: 'b957d7d0-a83d-4728-988d-a035575672e4',
    updatedBy: '',
    experimentId: '23a6c18c-63c6-4948-b932-ae8eef3921f6',
    experimentName: 'api-payload-test',
    runId: '76079280-cfd6-4390-8ea4-86771c10f44e',
  }
  expect(JSON.parse(encodeTaskResponse(ids, data, false))).toEqual(body)
})

it('is the published first snapshot', () => {
  const { data } = JSON.parse(fixture('kserver-experimentrun.reply.json'))
  expect(executionDataOf(plan, run({}), 'CREATE')).toEqual(data.executionData)
})

it('shows verdict, percentage and failStep of a task that is done, and its fault pods while they are there', () => {
  const done = run(
    {
      stage: 'done',
      startedAt: started,
      finishedAt: started + 5000,
      pods: ['fault-1'],
      trouble: { code: 'CUT_SHORT', reason: 'the target restarted' },
    },
    { finishedAt: started + 6000 },
  )
  const data = executionDataOf(plan, done, 'UPDATE')
  expect(data).toMatchObject({ phase: 'Error', finishedAt: '1746117500' })
  expect(data.nodes['api-payload-test-pod-delete-wm3']).toMatchObject({
    phase: 'Error',
    chaosData: {
      experimentVerdict: 'Error',
      probeSuccessPercentage: '0',
      errorCode: 'CUT_SHORT',
      failStep: 'CUT_SHORT : the target restarted',
      helperPodDetails: [
        { name: 'fault-1', logStreamID: '76079280-cfd6-4390-8ea4-86771c10f44e-pod-delete-wm3' },
      ],
    },
  })
})

it('points every task of a step at all tasks of the next', () => {
  const steps = [['pod-delete-wm3', 'pod-cpu-hog-pys'], ['last']]
  const state = run({})
  state.tasks.push(task('last', 'pod-delete'))
  const { nodes } = executionDataOf({ ...plan, steps }, state, 'UPDATE')
  const children = Object.values(nodes).map((n) => n.children)
  expect(children).toEqual([
    ['api-payload-test-pod-delete-wm3', 'api-payload-test-pod-cpu-hog-pys'],
    ['api-payload-test-last'],
    ['api-payload-test-last'],
    null,
  ])
})
