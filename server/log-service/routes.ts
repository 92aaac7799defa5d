import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  logQuery,
  logService,
  logTokenHeader,
  type ReceivedLogLine,
  receivedLogLine,
  receivedLogLines,
} from '../../model/wire/log-service.ts'
import { requireSecret } from '../auth.ts'
import { Refusal, read } from '../refusal.ts'
import type { LogStore, StreamName } from '../store/logs.ts'

export type LogServiceOptions = { logs: LogStore; token: string; now: () => number }

function nameOf(request: FastifyRequest): StreamName {
  const { accountID, key } = read(logQuery, request.query, 'query')
  return { accountId: accountID, key }
}

/** A blob may be an array, or one JSON object a line. */
function blobLines(body: unknown): ReceivedLogLine[] {
  if (typeof body !== 'string') return read(receivedLogLines, body, 'body')
  const text = body.trim()
  try {
    if (text.startsWith('[')) return read(receivedLogLines, JSON.parse(text), 'body')
    const rows = text.split('\n').filter((row) => row.trim() !== '')
    return rows.map((row, n) => read(receivedLogLine, JSON.parse(row), `body.${n}`))
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown
    throw new Refusal(400, 'body: is not JSON: send an array of lines, or one JSON object a line')
  }
}

/** The log-service's calls for agents. */
export async function logServiceRoutes(
  app: FastifyInstance,
  options: LogServiceOptions,
): Promise<void> {
  const { logs, now } = options
  app.addHook('onRequest', requireSecret({ header: logTokenHeader, secret: options.token }))

  const append = (request: FastifyRequest, lines: ReceivedLogLine[]): Record<string, never> => {
    const name = nameOf(request)
    if (!logs.append(name, lines, now()))
      throw new Refusal(
        422,
        `log ${name.key} has reached its largest size; raise LOG_MAX_STREAM_BYTES`,
      )
    return {}
  }

  app.post(logService.open.path, (request) => {
    logs.open(nameOf(request), now())
    return {}
  })
  app.put(logService.stream.path, (request) =>
    append(request, read(receivedLogLines, request.body, 'body')),
  )
  app.delete(logService.close.path, (request) => {
    logs.close(nameOf(request), now())
    return {}
  })
  await app.register(async (blobs) => {
    blobs.removeAllContentTypeParsers()
    blobs.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) =>
      done(null, body),
    )
    blobs.post(logService.blob.path, (request) => append(request, blobLines(request.body)))
  })
}
