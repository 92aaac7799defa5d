import { Agent, type Dispatcher, EnvHttpProxyAgent, errors } from 'undici'
import { type Contract, fillPath, type PathParams } from '../model/wire/route.ts'

/** How connections are made; every part is optional. */
export type ConnectionSettings = {
  /** sockets per peer */
  connections?: number
  httpProxy?: string
  httpsProxy?: string
  /** comma list of hosts that are reached without the proxy */
  noProxy?: string
  /** accept any certificate */
  insecure?: boolean
  /** PEM texts */
  ca?: string
  cert?: string
  key?: string
}

/** Connections that are kept open and shared by all calls; `close()` it at the end. */
export function createDispatcher(settings: ConnectionSettings = {}): Dispatcher {
  const tls = {
    rejectUnauthorized: !settings.insecure,
    ...(settings.ca ? { ca: settings.ca } : {}),
    ...(settings.cert ? { cert: settings.cert } : {}),
    ...(settings.key ? { key: settings.key } : {}),
  }
  const common = { connections: settings.connections ?? 8, connect: { ...tls, timeout: 5000 } }
  if (!settings.httpProxy && !settings.httpsProxy) return new Agent(common)
  return new EnvHttpProxyAgent({
    ...common,
    requestTls: tls,
    httpProxy: settings.httpProxy ?? '',
    httpsProxy: settings.httpsProxy ?? settings.httpProxy ?? '',
    noProxy: settings.noProxy ?? '',
  })
}

export type HttpRequest = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  url: string
  headers?: Record<string, string>
  body?: string
}
export type HttpReply = { status: number; headers: Record<string, string>; text: string }
export type Send = (request: HttpRequest, signal: AbortSignal) => Promise<HttpReply>

const oneValue = (value: string | string[] | undefined): string =>
  Array.isArray(value) ? value.join(', ') : (value ?? '')

async function readBounded(body: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of body) {
    size += part.length
    if (size > maxBytes) throw new Error(`the reply is larger than ${maxBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** Calls with a deadline over everything (connect, send, read) and a bound on the reply. */
export function createSend(
  dispatcher: Dispatcher,
  limits: { deadlineMs: number; maxReplyBytes?: number },
): Send {
  const maxBytes = limits.maxReplyBytes ?? 16 * 1024 * 1024
  return async (request, signal) => {
    const { origin, pathname, search } = new URL(request.url)
    const reply = await dispatcher.request({
      origin,
      path: pathname + search,
      method: request.method,
      headers: request.headers ?? {},
      body: request.body ?? null,
      headersTimeout: limits.deadlineMs,
      bodyTimeout: limits.deadlineMs,
      signal: AbortSignal.any([signal, AbortSignal.timeout(limits.deadlineMs)]),
    })
    const headers = Object.entries(reply.headers).map(([name, value]) => [name, oneValue(value)])
    return {
      status: reply.statusCode,
      headers: Object.fromEntries(headers),
      text: await readBounded(reply.body, maxBytes),
    }
  }
}

/** What became of one call, in the terms that decide what happens next. */
export type Outcome =
  | { kind: 'delivered'; reply: HttpReply }
  /** the peer is away or busy: the same call may succeed later */
  | { kind: 'unavailable'; why: string; retryAfterMs?: number }
  /** the peer does not accept our key, or the address is wrong: a human has to change something */
  | { kind: 'forbidden'; status: number; why: string }
  /** the peer will never accept this call */
  | { kind: 'refused'; status: number; why: string }

/** Retry-After in milliseconds; the date form needs the time of now. */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  if (!value) return undefined
  const seconds = Number(value)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** Sorts a reply by what it means for a sender. */
export function outcomeOf(reply: HttpReply, now: number): Outcome {
  const { status } = reply
  if (status >= 200 && status < 300) return { kind: 'delivered', reply }
  const said = reply.text.slice(0, 300).trim()
  const why = `answered ${status}${said ? `: ${said}` : ''}`
  if (status === 401 || status === 403 || (status >= 300 && status < 400))
    return { kind: 'forbidden', status, why }
  if (status >= 500 || status === 408 || status === 429) {
    const after = retryAfterMs(reply.headers['retry-after'], now)
    return { kind: 'unavailable', why, ...(after === undefined ? {} : { retryAfterMs: after }) }
  }
  return { kind: 'refused', status, why }
}

/** Why a call got no answer, in words. */
export function failureText(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  if (thrown.name === 'TimeoutError') return 'did not answer in time'
  if (thrown instanceof errors.UndiciError || 'code' in thrown)
    return `${thrown.message || 'connection failed'} (${String((thrown as { code?: unknown }).code)})`
  return thrown.message
}

export type CallInput<P extends string> = {
  params: Record<PathParams<P>, string>
  query: Record<string, string>
  /** already encoded, so that the bytes are the contract's own */
  body?: string
}
/** One function per call of the contract. It throws only when `signal` was aborted. */
export type Calls<C extends Contract> = {
  [K in keyof C]: (input: CallInput<C[K]['path']>, signal: AbortSignal) => Promise<Outcome>
}

/** A client made from a contract. `now` dates a Retry-After. */
export function clientOf<C extends Contract>(
  contract: C,
  peer: { baseUrl: string; headers: Record<string, string>; send: Send; now: () => number },
): Calls<C> {
  const base = peer.baseUrl.replace(/\/+$/, '')
  const headers = {
    ...peer.headers,
    'Content-Type': 'application/json',
    Accept: 'application/json',
  }
  const call =
    (route: Contract[string]) =>
    async (input: CallInput<string>, signal: AbortSignal): Promise<Outcome> => {
      const path = fillPath<string>(route.path, input.params as Record<string, string>)
      const url = `${base}${path}?${new URLSearchParams(input.query)}`
      const body = input.body === undefined ? {} : { body: input.body }
      try {
        const reply = await peer.send({ method: route.method, url, headers, ...body }, signal)
        return outcomeOf(reply, peer.now())
      } catch (thrown) {
        signal.throwIfAborted()
        return { kind: 'unavailable', why: failureText(thrown) }
      }
    }
  const calls = Object.entries(contract).map(([name, route]) => [name, call(route)])
  return Object.fromEntries(calls) as Calls<C>
}
