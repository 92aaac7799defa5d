import type { KubeConfig } from '@kubernetes/client-node'
import type { Dispatcher } from 'undici'
import { type Clock, systemClock, systemMonotonic, systemRandom } from '../clock.ts'
import { limit } from './deadline.ts'
import { errorFromAnswer, isExpired, isNotFound, KubeError, NotSent } from './errors.ts'
import { linesOf } from './lines.ts'
import { createNotYet } from './not-yet.ts'
import { type Repeatable, repeat } from './retry.ts'
import { createTransport, type Transport } from './transport.ts'
import type { KubeObject, StatusBody, WatchEvent } from './types.ts'

/** What every call takes. */
export type Call = {
  signal: AbortSignal
  /** act as this user (Impersonate-User), for example `system:serviceaccount:ns:name` */
  as?: string
  query?: Record<string, string>
  /** for all attempts together, default 30 s */
  deadlineMs?: number
  /** one attempt: whoever asks looks at the answer before asking again */
  once?: true
  /** asked directly before each attempt; false: nothing is sent, the call fails with NotSent */
  mayWrite?: () => boolean
}

/** A write that must say who owns the fields. */
export type ApplyCall = Call & { fieldManager: string; force?: boolean }
/** A create; `repeatable: true` for what may happen twice without harm (reviews). */
export type CreateCall = Call & { repeatable?: boolean }
/** A delete; with `uid` it never hits a namesake. */
export type RemoveCall = Call & {
  uid?: string
  resourceVersion?: string
  gracePeriodSeconds?: number
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
}
/** One step of an RFC 6902 patch. */
export type JsonPatchOp =
  | { op: 'add' | 'replace' | 'test'; path: string; value: unknown }
  | { op: 'remove'; path: string }
/** Where a watch starts; without `resourceVersion` it starts with all that exists. */
export type WatchCall = {
  signal: AbortSignal
  resourceVersion?: string
  query?: Record<string, string>
  as?: string
}
/** A list with the version from which a watch goes on. */
export type Listed<T> = { items: T[]; resourceVersion: string }

/** The Kubernetes API as raw JSON. Every failure is a KubeError, or the reason of the signal. */
export interface KubeClient {
  get<T>(path: string, call: Call): Promise<T>
  /** like get, but undefined where nothing is */
  find<T>(path: string, call: Call): Promise<T | undefined>
  /** all pages; with `trim`, no more than one page is held as it came */
  list<T>(path: string, call: Call, trim?: (item: T) => T): Promise<Listed<T>>
  create<T>(path: string, body: unknown, call: CreateCall): Promise<T>
  /** server-side apply */
  apply<T>(path: string, body: unknown, call: ApplyCall): Promise<T>
  mergePatch<T>(path: string, body: unknown, call: Call): Promise<T>
  jsonPatch<T>(path: string, ops: JsonPatchOp[], call: Call): Promise<T>
  replace<T>(path: string, body: unknown, call: Call): Promise<T>
  /** what the answer held: the object while it goes gracefully, else undefined */
  remove(path: string, call: RemoveCall): Promise<KubeObject | undefined>
  /** ends when the server closes it; an ERROR event (410 …) is thrown */
  watch<T extends KubeObject>(path: string, call: WatchCall): AsyncIterable<WatchEvent<T>>
  /** an answer as text (`/readyz`, a pod's log without follow) */
  text(path: string, call: Call): Promise<string>
  /** an endless answer by lines (a pod's log with follow); a break in the middle throws */
  lines(path: string, call: WatchCall): AsyncIterable<string>
  close(): Promise<void>
}

/** What a client is made from. */
export type KubeClientSettings = {
  config: KubeConfig
  /** names the program in the audit log: `chaosplane-runner/0.1.0` */
  userAgent: string
  clock?: Clock
  random?: () => number
  monotonic?: () => number
}

const defaultDeadlineMs = 30_000
const pageSize = '500'
const maxLineBytes = 16 * 1024 * 1024

type Sent = {
  method: Dispatcher.HttpMethod
  path: string
  call: Call
  body?: unknown
  contentType?: string
  query?: Record<string, string | undefined>
  repeatable: Repeatable
}

/** A KubeClient over two shared pools of connections. */
export function createKubeClient(settings: KubeClientSettings): KubeClient {
  const { userAgent, clock = systemClock, random = systemRandom } = settings
  const monotonic = settings.monotonic ?? systemMonotonic
  const transport = createTransport(settings.config, monotonic)
  const notYet = createNotYet(monotonic)

  const send = async (sent: Sent): Promise<string> => {
    const { call, method, path } = sent
    const name = `${method} ${path}`
    const ms = call.deadlineMs ?? defaultDeadlineMs
    const limited = limit(call.signal, ms, () => deadlineError(name, ms))
    try {
      const attempt = () =>
        once(transport, { ...sent, userAgent, signal: limited.signal }).catch((error: unknown) => {
          throw notYet(error)
        })
      const { signal } = limited
      if (call.once) return await attempt()
      return await repeat(attempt, { repeatable: sent.repeatable, signal, clock, random })
    } finally {
      limited.end()
    }
  }
  const json = async <T>(sent: Sent): Promise<T> => JSON.parse(await send(sent)) as T
  const write =
    (method: 'PATCH' | 'PUT', contentType: string) =>
    <T>(path: string, body: unknown, call: Call): Promise<T> => {
      const repeatable = hasPrecondition(body) ? 'if-lost' : 'if-refused'
      return json<T>({ method, path, call, body, contentType, repeatable })
    }
  const read = (path: string, call: Call): Sent => ({
    method: 'GET',
    path,
    call,
    repeatable: 'always',
  })

  return {
    get: (path, call) => json(read(path, call)),
    async find<T>(path: string, call: Call): Promise<T | undefined> {
      try {
        return await json<T>(read(path, call))
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    },
    list: (path, call, trim) =>
      listPages((query) => json({ ...read(path, call), query }), trim ?? ((item) => item)),
    create(path, body, call) {
      const repeatable = call.repeatable || hasName(body) ? 'if-lost' : 'if-refused'
      return json({ method: 'POST', path, call, body, contentType: jsonType, repeatable })
    },
    apply(path, body, call) {
      const query = { fieldManager: call.fieldManager, force: call.force ? 'true' : undefined }
      const contentType = 'application/apply-patch+yaml'
      return json({ method: 'PATCH', path, call, body, contentType, query, repeatable: 'if-lost' })
    },
    mergePatch: write('PATCH', 'application/merge-patch+json'),
    jsonPatch: write('PATCH', 'application/json-patch+json'),
    replace: write('PUT', jsonType),
    async remove(path, call) {
      const body = deleteOptions(call)
      const repeatable = call.uid ? 'if-lost' : 'if-refused'
      const answer = await json<KubeObject>({
        method: 'DELETE',
        path,
        call,
        body,
        contentType: jsonType,
        repeatable,
      })
      return answer.kind === 'Status' ? undefined : answer
    },
    watch: (path, call) => watchEvents(transport, { path, call, userAgent }),
    text: (path, call) => send(read(path, call)),
    lines: (path, call) => streamLines(transport, { path, call, userAgent }),
    close: () => transport.close(),
  }
}

const jsonType = 'application/json'

type Once = Sent & { userAgent: string; signal: AbortSignal }

async function once(transport: Transport, sent: Once): Promise<string> {
  const { method, path, call, signal } = sent
  const name = `${method} ${path}`
  signal.throwIfAborted()
  if (call.mayWrite?.() === false) throw new NotSent(name)
  try {
    const answer = await transport.send({
      method,
      path: path + queryText({ ...call.query, ...sent.query }),
      headers: headersOf(sent, call.as),
      ...(sent.body === undefined ? {} : { body: JSON.stringify(sent.body) }),
      signal,
    })
    const text = await answer.body.text()
    if (answer.statusCode < 400) return text
    if (answer.statusCode === 401) transport.refresh()
    throw errorFromAnswer({
      call: name,
      status: answer.statusCode,
      text,
      retryAfter: oneHeader(answer.headers['retry-after']),
    })
  } catch (error) {
    throw failure(error, name, signal)
  }
}

/** What a failed attempt means: the caller's own reason, a KubeError, or «no answer». */
function failure(error: unknown, name: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof KubeError) return error
  const why = error instanceof Error ? error.message || error.name : String(error)
  return new KubeError({
    status: 0,
    reason: 'Unreachable',
    message: `${name}: no answer from the API server (${why}); check that it runs and that this address is right`,
    cause: error,
  })
}

const deadlineError = (name: string, ms: number): KubeError =>
  new KubeError({
    status: 0,
    reason: 'DeadlineExceeded',
    message: `${name}: no success within ${ms} ms; check the API server's load and the network to it`,
  })

function headersOf(
  of: { userAgent: string; contentType?: string },
  as: string | undefined,
): Record<string, string> {
  return {
    accept: jsonType,
    'user-agent': of.userAgent,
    ...(of.contentType ? { 'content-type': of.contentType } : {}),
    ...(as ? { 'impersonate-user': as } : {}),
  }
}

function queryText(query: Record<string, string | undefined>): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => !!entry[1])
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}

const oneHeader = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value[0] : value

const hasName = (body: unknown): boolean =>
  !!(body as { metadata?: { name?: string } } | undefined)?.metadata?.name

/** True for bodies that the server refuses when somebody (an earlier attempt of ours) wrote before. */
function hasPrecondition(body: unknown): boolean {
  if (Array.isArray(body)) return body.some((op: JsonPatchOp) => op.op === 'test')
  return !!(body as KubeObject | undefined)?.metadata?.resourceVersion
}

function deleteOptions(call: RemoveCall): unknown {
  const { uid, resourceVersion, gracePeriodSeconds, propagationPolicy } = call
  const preconditions = { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) }
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    ...(uid || resourceVersion ? { preconditions } : {}),
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(propagationPolicy ? { propagationPolicy } : {}),
  }
}

type ListBody<T> = {
  apiVersion: string
  kind: string
  metadata: { resourceVersion: string; continue?: string }
  items: T[] | null
}

async function listPages<T>(
  page: (query: Record<string, string>) => Promise<ListBody<T>>,
  trim: (item: T) => T,
): Promise<Listed<T>> {
  const items: T[] = []
  let from: string | undefined
  try {
    for (;;) {
      const body = await page({ limit: pageSize, ...(from ? { continue: from } : {}) })
      items.push(...typed(body).map(trim))
      from = body.metadata.continue
      if (!from) return { items, resourceVersion: body.metadata.resourceVersion }
    }
  } catch (error) {
    if (!from || !isExpired(error)) throw error
    // the snapshot was compacted between two pages: one long answer cannot be
    const body = await page({})
    return { items: typed(body).map(trim), resourceVersion: body.metadata.resourceVersion }
  }
}

/** Items of a list lack kind and apiVersion, those of a watch have them: one shape for both. */
function typed<T>(body: ListBody<T>): T[] {
  const kind = body.kind.replace(/List$/, '')
  return (body.items ?? []).map((item) => ({ apiVersion: body.apiVersion, kind, ...item }))
}

type Streamed = { path: string; call: WatchCall; userAgent: string }

async function* streamLines(transport: Transport, of: Streamed): AsyncGenerator<string> {
  const { path, call, userAgent } = of
  const { signal, as, resourceVersion } = call
  const name = `GET ${path}`
  try {
    signal.throwIfAborted()
    const answer = await transport.send({
      method: 'GET',
      path: path + queryText({ ...call.query, resourceVersion }),
      headers: headersOf({ userAgent }, as),
      signal,
      longLived: true,
    })
    if (answer.statusCode >= 400) {
      if (answer.statusCode === 401) transport.refresh()
      throw errorFromAnswer({
        call: name,
        status: answer.statusCode,
        text: await answer.body.text(),
        retryAfter: oneHeader(answer.headers['retry-after']),
      })
    }
    yield* linesOf(answer.body, maxLineBytes)
  } catch (error) {
    throw failure(error, name, signal)
  }
}

async function* watchEvents<T extends KubeObject>(
  transport: Transport,
  of: Streamed,
): AsyncGenerator<WatchEvent<T>> {
  const query = { ...of.call.query, watch: 'true', allowWatchBookmarks: 'true' }
  for await (const line of streamLines(transport, { ...of, call: { ...of.call, query } })) {
    const event = parseEvent<T>(line, of.path)
    if (event.type !== 'ERROR') yield event
    else throw watchError(event.object, of.path)
  }
}

type Received<T extends KubeObject> = WatchEvent<T> | { type: 'ERROR'; object: StatusBody }

function parseEvent<T extends KubeObject>(line: string, path: string): Received<T> {
  try {
    return JSON.parse(line) as Received<T>
  } catch (cause) {
    throw new KubeError({
      status: 0,
      reason: 'BadAnswer',
      message: `watch ${path}: half a line came, the connection was cut`,
      cause,
    })
  }
}

function watchError(body: StatusBody, path: string): KubeError {
  const text = JSON.stringify({ ...body, kind: 'Status' })
  return errorFromAnswer({ call: `watch ${path}`, status: body.code ?? 500, text })
}
