import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import {
  accessKeyHeader,
  kserver,
  parseExecutionData,
  type ReceivedExecutionData,
  type Scope,
  type TaskResponse,
  taskResponse,
  taskResponseReply,
} from '../../model/wire/kserver.ts'
import { requireSecret } from '../auth.ts'
import { Refusal, read } from '../refusal.ts'
import type { RunStore, StoredRun } from '../store/runs.ts'
import { mayReplace } from './newer.ts'
import { runRecord } from './record.ts'
import { noTally, tallyOf } from './score.ts'

const word = z.string().default('')
/** Agents of a plain installation may leave the scope out. */
const scope = z.object({
  environmentIdentifier: word,
  accountIdentifier: word,
  organizationIdentifier: word,
  projectIdentifier: word,
})
const reportParams = z.object({ infra: z.string() })
const fetchParams = reportParams.extend({ experimentId: z.string(), runId: z.string() })

function readExecutionData(text: string): ReceivedExecutionData {
  try {
    return parseExecutionData(text)
  } catch (thrown) {
    const issue = thrown instanceof z.ZodError ? thrown.issues[0] : undefined
    const path = ['body', 'args', 'executionData', ...(issue?.path.map(String) ?? [])].join('.')
    const reason = issue?.message ?? 'is not JSON'
    const suggestion = 'send the node graph of the run as JSON text'
    throw new Refusal(400, `${path}: ${reason}`, [{ path, reason, suggestion }])
  }
}

/** What is kept of a report; undefined when something newer is known. */
function merge(
  known: StoredRun | undefined,
  report: { body: TaskResponse; data: ReceivedExecutionData; scope: Scope; now: number },
): Omit<StoredRun, 'sequence'> | undefined {
  const { body, data, now } = report
  const completed = body.args.completed === 'true'
  if (known) {
    if (known.experimentId !== body.args.workflowID)
      throw new Refusal(409, `run ${body.args.workflowRunID} belongs to another experiment`, [
        {
          path: 'body.args.workflowID',
          reason: `the run is known with experiment ${known.experimentId}`,
          suggestion: 'use a new run id for every run',
        },
      ])
    const before = { completed: known.completed, data: parseExecutionData(known.executionData) }
    if (!mayReplace(before, { completed, data })) return undefined
  }
  return {
    runId: body.args.workflowRunID,
    experimentId: body.args.workflowID,
    infra: body.infraId,
    scope: report.scope,
    name: body.args.workflowName || data.name,
    notifyId: body.args.notifyID || (known?.notifyId ?? ''),
    updatedBy: body.args.updatedBy,
    phase: data.phase,
    completed,
    tally: completed ? tallyOf(data) : noTally(),
    executionData: body.args.executionData,
    createdAt: known?.createdAt ?? now,
    updatedAt: now,
  }
}

export type KserverOptions = { runs: RunStore; accessKey: string; now: () => number }

/** The infrastructure server's calls for agents. Runs that were not started from here are taken in with their first report. */
export async function kserverRoutes(app: FastifyInstance, options: KserverOptions): Promise<void> {
  const { runs, now } = options
  app.addHook('onRequest', requireSecret({ header: accessKeyHeader, secret: options.accessKey }))

  app.post(kserver.report.path, (request, reply) => {
    const { infra } = read(reportParams, request.params, 'path')
    const body = read(taskResponse, request.body, 'body')
    if (body.infraId !== infra)
      throw new Refusal(400, 'body.infraId: differs from the path', [
        {
          path: 'body.infraId',
          reason: `is "${body.infraId}", the path says "${infra}"`,
          suggestion: 'send the same id in both',
        },
      ])
    const data = readExecutionData(body.args.executionData)
    const report = { body, data, scope: read(scope, request.query, 'query'), now: now() }
    const { workflowID, workflowRunID } = body.args
    runs.update(workflowRunID, (known) => merge(known, report))
    return reply
      .header('content-type', 'application/json')
      .send(Buffer.from(taskResponseReply(workflowID, workflowRunID)))
  })

  app.get(kserver.fetchRun.path, (request, reply) => {
    const { infra, experimentId, runId } = read(fetchParams, request.params, 'path')
    const run = runs.get(runId)
    if (!run || run.experimentId !== experimentId || run.infra !== infra)
      throw new Refusal(404, `no run ${runId} of experiment ${experimentId} on ${infra} is known`)
    return reply.send({ data: runRecord(run) })
  })
}
