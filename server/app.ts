import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Log } from '../lib/log.ts'
import { kserverRoutes } from './kserver/routes.ts'
import { logServiceRoutes } from './log-service/routes.ts'
import { answerError, Refusal } from './refusal.ts'
import { runsRoutes } from './runs/routes.ts'
import type { LogStore } from './store/logs.ts'
import type { RunStore } from './store/runs.ts'

export type AppParts = {
  runs: RunStore
  logs: LogStore
  accessKey: string
  logServiceToken: string
  maxBodyBytes: number
  now: () => number
  log: Log
}

/** Agents know the services with and without the gateway in front. */
const prefixes = ['', '/gateway'] as const

/** The whole control plane as one HTTP application, not yet listening. */
export async function createApp(parts: AppParts): Promise<FastifyInstance> {
  const { runs, logs, accessKey, logServiceToken, now } = parts
  const app = Fastify({
    loggerInstance: parts.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: parts.maxBodyBytes,
    requestTimeout: 30_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 30_000,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 512 },
  })
  const json = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser('application/json')
  // opening and closing a log carry the JSON content type and no body
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) =>
    body === '' ? done(null, undefined) : json(request, String(body), done),
  )
  app.setErrorHandler<Error>(answerError)
  app.setNotFoundHandler((request) => {
    throw new Refusal(404, `nothing answers ${request.method} ${request.url.split('?')[0]}`)
  })
  for (const prefix of prefixes) {
    const kserver = { runs, accessKey, now }
    await app.register(kserverRoutes, { ...kserver, prefix: `${prefix}/chaos/kserver/api` })
    const logService = { logs, token: logServiceToken, now }
    await app.register(logServiceRoutes, { ...logService, prefix: `${prefix}/log-service` })
  }
  await app.register(runsRoutes, { runs, logs, accessKey, prefix: '/api' })
  app.get('/healthz', () => ({ status: 'ok' }))
  app.get('/readyz', () => {
    runs.check()
    logs.check()
    return { status: 'ok' }
  })
  return app
}
