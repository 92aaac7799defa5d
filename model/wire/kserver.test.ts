import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fixture } from './fixtures.ts'
import {
  type ChaosData,
  type ExecutionData,
  encodeExecutionData,
  encodeTaskResponse,
  type K8sTaskNode,
  kserver,
  nodeKey,
  parseExecutionData,
  runRecordReply,
  streamId,
  taskResponse,
  taskResponseReply,
  unixSeconds,
} from './kserver.ts'
import { fillPath } from './route.ts'

const published = JSON.parse(fixture('kserver-task-response.request.json'))
const experiment = 'api-payload-test'
const run = '76079280-cfd6-4390-8ea4-86771c10f44e'

const chaosData = (fault: string, over: Partial<ChaosData>): ChaosData => ({
  helperPodDetails: null,
  errorCode: '',
  taskDefinitionCR: '',
  streamID: '',
  failStep: '',
  probeSuccessPercentage: '',
  experimentVerdict: '',
  lastUpdatedAt: '1746117494',
  experimentStatus: 'Pending',
  experimentName: fault,
  namespace: 'v2',
  ...over,
})
const task = (name: string, children: string[] | null, data: ChaosData): K8sTaskNode => ({
  chaosData: data,
  type: 'K8sTask',
  name,
  phase: data.experimentStatus,
  message: '',
  startedAt: data.experimentStatus === 'Pending' ? '' : data.lastUpdatedAt,
  finishedAt: '',
  children,
})

/** What the published example says, built in another order than it is written. */
const example: ExecutionData = {
  executedBy: '',
  nodes: {
    [nodeKey(experiment, 'pod-delete-wm3')]: task(
      'pod-delete-wm3',
      [nodeKey(experiment, 'pod-cpu-hog-pys')],
      chaosData('pod-delete', {
        experimentStatus: 'Running',
        experimentVerdict: 'Awaited',
        lastUpdatedAt: unixSeconds(1746117528_999),
        streamID: streamId(run, 'pod-delete-wm3'),
      }),
    ),
    [nodeKey(experiment, 'pod-cpu-hog-pys')]: task(
      'pod-cpu-hog-pys',
      null,
      chaosData('pod-cpu-hog', {}),
    ),
    [experiment]: {
      type: 'Steps',
      children: [nodeKey(experiment, 'pod-delete-wm3')],
      finishedAt: '',
      startedAt: '1746117494',
      message: '',
      phase: 'Running',
      name: experiment,
    },
  },
  finishedAt: unixSeconds(undefined),
  startedAt: '1746117494',
  message: '',
  phase: 'Running',
  creationTimestamp: '1746117494',
  name: experiment,
  namespace: 'v2',
  eventType: 'UPDATE',
  workflowType: 'events',
}
const ids = {
  infraId: 'prodecommerce',
  notifyId: 'b957d7d0-a83d-4728-988d-a035575672e4',
  updatedBy: '',
  experimentId: '23a6c18c-63c6-4948-b932-ae8eef3921f6',
  experimentName: experiment,
  runId: run,
}

describe('reports to kserver', () => {
  it('writes execution data byte for byte as published', () => {
    expect(encodeExecutionData(example)).toBe(published.args.executionData)
  })

  it('writes the whole body in the published key order', () => {
    expect(encodeTaskResponse(ids, example, false)).toBe(JSON.stringify(published))
    expect(JSON.parse(encodeTaskResponse(ids, example, true)).args.completed).toBe('true')
  })

  it('writes the tasks by key, after the root, whatever the keys are', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z0-9-]{1,20}$/), { maxLength: 8 })
    fc.assert(
      fc.property(names, fc.stringMatching(/^[a-z0-9]{1,8}$/), (tasks, root) => {
        const nodes = Object.fromEntries(
          tasks.map((name) => [nodeKey(root, name), task(name, null, chaosData('x', {}))]),
        )
        const first = { ...example.nodes[experiment], type: 'Steps', children: null } as const
        const text = encodeExecutionData({
          ...example,
          nodes: { ...nodes, [root]: { ...first, name: root } as ExecutionData['nodes'][string] },
        })
        const order = [root, ...Object.keys(nodes).sort()].map((key) =>
          text.indexOf(`${JSON.stringify(key)}:{"name"`),
        )
        expect(order).not.toContain(-1)
        expect(order).toEqual([...order].sort((a, b) => a - b))
        expect(Object.keys(parseExecutionData(text).nodes).sort()).toEqual(
          [root, ...Object.keys(nodes)].sort(),
        )
      }),
    )
  })

  it('reads back what it wrote', () => {
    const back = parseExecutionData(encodeExecutionData(example))
    expect(back.nodes[nodeKey(experiment, 'pod-delete-wm3')]?.chaosData).toEqual(
      (example.nodes[nodeKey(experiment, 'pod-delete-wm3')] as K8sTaskNode).chaosData,
    )
    expect(back.nodes[experiment]?.chaosData).toBeNull()
  })
})

describe('what peers send', () => {
  it('accepts the published request and run record', () => {
    expect(taskResponse.parse(published).args.workflowRunID).toBe(run)
    const record = runRecordReply.parse(
      JSON.parse(fixture('kserver-experimentrun.reply.json')),
    ).data
    expect(record.notifyID).toBe(ids.notifyId)
    expect(parseExecutionData(record.executionData).nodes[experiment]?.type).toBe('Steps')
  })

  it('accepts a record whose documents are text, or are missing', () => {
    const executionData = published.args.executionData
    const texts = runRecordReply.parse({ data: { executionData, experimentYaml: 'kind: X' } }).data
    expect(parseExecutionData(texts.executionData).phase).toBe('Running')
    expect(runRecordReply.parse({ data: { notifyID: null } }).data.notifyID).toBe('')
  })

  it.each([
    ['a boolean instead of text', { completed: true }, /not a boolean/],
    ['an object instead of JSON text', { executionData: {} }, /must be JSON text/],
    ['no run id', { workflowRunID: '' }, /id of the run is needed/],
  ])('refuses %s', (_name, over, why) => {
    const wrong = { ...published, args: { ...published.args, ...over } }
    expect(() => taskResponse.parse(wrong)).toThrow(why)
  })

  it('answers with the published text', () => {
    expect(taskResponseReply(ids.experimentId, ids.runId)).toBe(
      fixture('kserver-task-response.reply.txt'),
    )
  })

  it('fills and escapes paths', () => {
    expect(fillPath(kserver.fetchRun.path, { infra: 'a/b', experimentId: 'e', runId: 'r' })).toBe(
      '/infra/v2/task/experimentrun/a%2Fb/e/r',
    )
    expect(() => fillPath(kserver.report.path, { infra: '' })).toThrow(/needs a value for "infra"/)
  })
})
