import * as z from 'zod'
import type { Route } from './route.ts'

/** One line of a log. `pos` starts at 1 and rises within a key. */
export type LogLine = {
  level: string
  pos: number
  out: string
  /** RFC 3339, whole seconds, UTC */
  time: string
  args: Record<string, string>
}

/** The peer's form of a moment: `2025-05-01T17:27:56Z`. */
export const logTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`

/** The exact text of one line. */
export const encodeLogLine = (line: LogLine): string =>
  JSON.stringify({
    level: line.level,
    pos: line.pos,
    out: line.out,
    time: line.time,
    args: line.args,
  })

const scalar = z.union([z.string(), z.number(), z.boolean()]).transform(String)

/** A line of any agent. */
export const receivedLogLine = z.object({
  level: z.string().default('info'),
  pos: z.number().int().nonnegative().default(0),
  out: z.string(),
  time: z.string().default(''),
  args: z
    .record(
      z.string(),
      scalar.nullish().transform((value) => value ?? ''),
    )
    .nullish()
    .transform((args) => args ?? {}),
})
export type ReceivedLogLine = z.infer<typeof receivedLogLine>
export const receivedLogLines = z.array(receivedLogLine)

/** Which log; travels as the query of every call. */
export const logQuery = z.object({
  accountID: z.string(),
  key: z.string().min(1, 'the key of the log stream is needed').max(512),
})
export type LogQuery = z.infer<typeof logQuery>

/** Header that carries the token. */
export const logTokenHeader = 'X-Harness-Token'

/** Calls of the log-service, below `<host>/log-service`. */
export const logService = {
  open: { method: 'POST', path: '', query: logQuery },
  stream: { method: 'PUT', path: '/stream', query: logQuery, body: receivedLogLines },
  blob: { method: 'POST', path: '/blob', query: logQuery, body: receivedLogLines },
  close: { method: 'DELETE', path: '', query: logQuery },
} as const satisfies Record<string, Route>
