import * as z from 'zod'
import type { Route } from './route.ts'

/** Phases of a run and of its nodes, as the peer knows them. */
export const runPhases = [
  'Pending',
  'Running',
  'Completed',
  'Completed_With_Error',
  'Completed_With_Probe_Failure',
  'Stopped',
  'Skipped',
  'Error',
  'Timeout',
  'NA',
  'Queued',
  'Blocked',
] as const
export type RunPhase = (typeof runPhases)[number]

/** Verdict of one fault: empty while Pending, Awaited while Running. */
export const faultVerdicts = ['', 'Awaited', 'Pass', 'Fail', 'Stopped', 'Error', 'N/A'] as const
export type FaultVerdict = (typeof faultVerdicts)[number]

/** Unix seconds as text; empty: not yet. */
export type UnixSeconds = string

/** The peer's form of a moment given in unix milliseconds. */
export const unixSeconds = (ms: number | undefined): UnixSeconds =>
  ms === undefined ? '' : String(Math.floor(ms / 1000))

export type HelperPod = { name: string; logStreamID: string }

export type ChaosData = {
  namespace: string
  /** the fault's name */
  experimentName: string
  experimentStatus: RunPhase
  lastUpdatedAt: UnixSeconds
  experimentVerdict: FaultVerdict
  /** a number as text; empty until it is known */
  probeSuccessPercentage: string
  failStep: string
  taskDefinitionCR: string
  errorCode: string
  /** `<runID>-<task>` from the task's start on, before that empty */
  streamID: string
  helperPodDetails: HelperPod[] | null
}

type NodeCommon = {
  name: string
  phase: RunPhase
  message: string
  startedAt: UnixSeconds
  finishedAt: UnixSeconds
  /** node keys of the next step; null on the last */
  children: string[] | null
}
export type StepsNode = NodeCommon & { type: 'Steps' }
export type K8sTaskNode = NodeCommon & { type: 'K8sTask'; chaosData: ChaosData }

/** The node graph of a run, as an agent writes it. */
export type ExecutionData = {
  workflowType: 'events'
  /** CREATE is the first snapshot of a run, all others are UPDATE */
  eventType: 'CREATE' | 'UPDATE'
  namespace: string
  name: string
  creationTimestamp: UnixSeconds
  phase: RunPhase
  message: string
  startedAt: UnixSeconds
  finishedAt: UnixSeconds
  /** root under the experiment's name, tasks under nodeKey() */
  nodes: Record<string, StepsNode | K8sTaskNode>
  executedBy: string
}

/** Key of a task's node. */
export const nodeKey = (experiment: string, task: string): string => `${experiment}-${task}`

/** streamID of a task, also the key of its log. */
export const streamId = (run: string, task: string): string => `${run}-${task}`

const byCodeUnit = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function orderedNode(node: StepsNode | K8sTaskNode): unknown {
  const { name, phase, message, startedAt, finishedAt, children, type } = node
  const common = { name, phase, message, startedAt, finishedAt, children, type }
  if (node.type === 'Steps') return common
  const data = node.chaosData
  const chaosData = {
    namespace: data.namespace,
    experimentName: data.experimentName,
    experimentStatus: data.experimentStatus,
    lastUpdatedAt: data.lastUpdatedAt,
    experimentVerdict: data.experimentVerdict,
    probeSuccessPercentage: data.probeSuccessPercentage,
    failStep: data.failStep,
    taskDefinitionCR: data.taskDefinitionCR,
    errorCode: data.errorCode,
    streamID: data.streamID,
    helperPodDetails:
      data.helperPodDetails?.map(({ name, logStreamID }) => ({ name, logStreamID })) ?? null,
  }
  return { ...common, chaosData }
}

/** Object members in the given order; JSON.stringify alone would move keys that look like integers to the front. */
function objectInOrder(members: [string, unknown][]): string {
  const text = members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
  return `{${text.join(',')}}`
}

/** The peer's exact text: fixed key order, root first, then the tasks by key. */
export function encodeExecutionData(data: ExecutionData): string {
  const nodes = Object.entries(data.nodes)
    .sort(
      ([a, x], [b, y]) =>
        Number(y.type === 'Steps') - Number(x.type === 'Steps') || byCodeUnit(a, b),
    )
    .map(([key, node]): [string, unknown] => [key, orderedNode(node)])
  const { workflowType, eventType, namespace, name, creationTimestamp } = data
  const { phase, message, startedAt, finishedAt, executedBy } = data
  const head = {
    workflowType,
    eventType,
    namespace,
    name,
    creationTimestamp,
    phase,
    message,
    startedAt,
    finishedAt,
  }
  return `${JSON.stringify(head).slice(0, -1)},"nodes":${objectInOrder(nodes)},"executedBy":${JSON.stringify(executedBy)}}`
}

/** Who the run is, beside its execution data. */
export type TaskIds = {
  infraId: string
  notifyId: string
  updatedBy: string
  experimentId: string
  experimentName: string
  runId: string
}

/** The whole request body of one report, ready to send. */
export function encodeTaskResponse(ids: TaskIds, data: ExecutionData, completed: boolean): string {
  return JSON.stringify({
    taskType: 'WORKFLOW_EVENT',
    executionType: 'SYNC',
    infraId: ids.infraId,
    args: {
      completed: completed ? 'true' : 'false',
      executionData: encodeExecutionData(data),
      infraID: ids.infraId,
      notifyID: ids.notifyId,
      updatedBy: ids.updatedBy,
      workflowID: ids.experimentId,
      workflowName: ids.experimentName,
      workflowRunID: ids.runId,
    },
  })
}

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '')
const helperPod = z.object({ name: text, logStreamID: text })
const receivedChaosData = z.object({
  namespace: text,
  experimentName: text,
  experimentStatus: text,
  lastUpdatedAt: text,
  experimentVerdict: text,
  probeSuccessPercentage: text,
  failStep: text,
  taskDefinitionCR: text,
  errorCode: text,
  streamID: text,
  helperPodDetails: z
    .array(helperPod)
    .nullish()
    .transform((pods) => pods ?? null),
})
const receivedNode = z.object({
  name: text,
  phase: text,
  message: text,
  startedAt: text,
  finishedAt: text,
  children: z
    .array(z.string())
    .nullish()
    .transform((keys) => keys ?? null),
  type: text,
  chaosData: receivedChaosData.nullish().transform((data) => data ?? null),
})

/** Execution data of any agent: what is absent becomes empty, what is unknown is left out, names of phases stay as they came. */
export const receivedExecutionData = z.object({
  workflowType: text,
  eventType: text,
  namespace: text,
  name: z.string().min(1, 'the name of the experiment is needed'),
  creationTimestamp: text,
  phase: text,
  message: text,
  startedAt: text,
  finishedAt: text,
  nodes: z.record(z.string(), receivedNode),
  executedBy: text,
})
export type ReceivedExecutionData = z.infer<typeof receivedExecutionData>
export type ReceivedNode = z.infer<typeof receivedNode>

/** Reads execution data that came as JSON text or, as in the run record, as an object. */
export function parseExecutionData(value: unknown): ReceivedExecutionData {
  return receivedExecutionData.parse(typeof value === 'string' ? JSON.parse(value) : value)
}

const id = (what: string) => z.string().min(1, `the ${what} is needed`).max(256)

/** Body of a report. */
export const taskResponse = z.object({
  taskType: z.literal('WORKFLOW_EVENT', 'must be "WORKFLOW_EVENT"'),
  executionType: z.string().default('SYNC'),
  infraId: id('id of the infrastructure'),
  args: z.object({
    completed: z.enum(['true', 'false'], 'must be the text "true" or "false", not a boolean'),
    executionData: z.string('must be JSON text (a string), not an object'),
    infraID: text,
    notifyID: text,
    updatedBy: text,
    workflowID: id('id of the experiment'),
    workflowName: text,
    workflowRunID: id('id of the run'),
  }),
})
export type TaskResponse = z.infer<typeof taskResponse>

/** The text with which a report is answered. */
export const taskResponseReply = (experimentId: string, runId: string): string =>
  `Received task callback for taskType: WORKFLOW_EVENT, response: Workflow run received for for WorkflowID: ${experimentId}, WorkflowRunID: ${runId}`

const objectOrText = z.union([z.record(z.string(), z.unknown()), z.string()]).nullish()

/** What a runner reads from the run record; everything else in it is the control plane's own. */
export const runRecordReply = z.object({
  data: z.object({
    notifyID: text,
    experimentRunID: text,
    experimentID: text,
    experimentName: text,
    phase: text,
    executionData: objectOrText,
    experimentYaml: objectOrText,
    completed: z
      .boolean()
      .nullish()
      .transform((value) => value ?? false),
  }),
})
export type RunRecordReply = z.infer<typeof runRecordReply>['data']

/** Whose run it is; travels as the query of every call. */
export const scopeQuery = z.object({
  environmentIdentifier: z.string(),
  accountIdentifier: z.string(),
  organizationIdentifier: z.string(),
  projectIdentifier: z.string(),
})
export type Scope = z.infer<typeof scopeQuery>

/** Header that carries the access key. */
export const accessKeyHeader = 'X-Access-Key'

/** Calls of the infrastructure server, below `<host>/chaos/kserver/api`. */
export const kserver = {
  report: {
    method: 'POST',
    path: '/infra/v2/task/response/:infra',
    query: scopeQuery,
    body: taskResponse,
  },
  fetchRun: {
    method: 'GET',
    path: '/infra/v2/task/experimentrun/:infra/:experimentId/:runId',
    query: scopeQuery,
  },
} as const satisfies Record<string, Route>
