import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import { accessKeyHeader } from '../../model/wire/kserver.ts'
import { requireSecret } from '../auth.ts'
import { runRecord } from '../kserver/record.ts'
import { Refusal, read } from '../refusal.ts'
import type { LogStore } from '../store/logs.ts'
import type { RunStore, StoredRun } from '../store/runs.ts'

export type RunsOptions = { runs: RunStore; logs: LogStore; accessKey: string }

const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(50),
  page: z.coerce.number().int().min(0).default(0),
})
const tailQuery = z.object({
  key: z.string().min(1, 'the key of the log stream is needed'),
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000),
})

const summary = (run: StoredRun): Record<string, unknown> => ({
  runId: run.runId,
  experimentId: run.experimentId,
  name: run.name,
  infra: run.infra,
  sequence: run.sequence,
  phase: run.phase,
  completed: run.completed,
  resiliencyScore: run.tally.score,
  createdAt: run.createdAt,
  updatedAt: run.updatedAt,
})

/** Runs and logs for people and scripts. */
export async function runsRoutes(app: FastifyInstance, options: RunsOptions): Promise<void> {
  const { runs, logs, accessKey } = options
  app.addHook(
    'onRequest',
    requireSecret({ header: accessKeyHeader, secret: accessKey, bearer: true }),
  )

  app.get('/runs', (request, reply) => {
    const { limit, page } = read(pageQuery, request.query, 'query')
    const found = runs.page({ limit, offset: page * limit })
    return reply.send({ total: found.total, page, limit, runs: found.runs.map(summary) })
  })

  app.get('/runs/:id', (request, reply) => {
    const { id } = read(z.object({ id: z.string() }), request.params, 'path')
    const run = runs.get(id)
    if (!run) throw new Refusal(404, `no run ${id} is known; GET /api/runs lists them`)
    return reply.send(runRecord(run))
  })

  app.get('/logs', (request, reply) => {
    const { key, after, limit } = read(tailQuery, request.query, 'query')
    const stream = logs.find(key)
    if (!stream)
      throw new Refusal(
        404,
        `no log ${key} is known; keys are <run id>-<task>, see streamID in the run`,
      )
    const lines = logs.tail(key, after, limit) ?? []
    const last = lines.at(-1)?.pos ?? after
    // closed and complete: nothing more will come behind `after`
    const complete = stream.closedAt !== undefined && last >= stream.lastPos
    return reply.send({ key, after: last, complete, lines })
  })
}
