import type tls from 'node:tls'
import { Agent, type buildConnector, type Dispatcher, errors } from 'undici'
import type { HttpInputs } from '../../../model/probe.ts'
import type { HttpReading, HttpSampler } from '../probe-io.ts'
import { AddressRefused, checkedLookup, checkHost } from './addresses.ts'

/** The most of an answer's body that is read. */
export const maxBodyBytes = 1024 * 1024
/** As many redirects as Go's client follows. */
export const maxRedirects = 10

// No connection is kept: behind a Service an open connection stays with its pod, and would not see the others fail.
function createAgent(insecure: boolean, own: tls.ConnectionOptions = {}): Agent {
  const common = { rejectUnauthorized: !insecure, lookup: checkedLookup as never, timeout: 0 }
  return new Agent({
    pipelining: 0,
    connect: { ...own, ...common } as buildConnector.BuildOptions,
    headersTimeout: 0,
    bodyTimeout: 0,
  })
}

/** Sends http probes; `close()` it at the end. */
export function createHttpSampler(now: () => number): {
  sample: HttpSampler
  close(): Promise<void>
} {
  const strict = createAgent(false)
  const lax = createAgent(true)
  return {
    async sample(inputs, signal) {
      const started = now()
      const common = inputs.insecureSkipVerify ? lax : strict
      const own = ownAgent(inputs)
      const host = URL.parse(inputs.url)?.host
      try {
        // What proves who we are is shown to nobody but the host that the probe names.
        const agentFor = (url: URL): Agent => (own && url.host === host ? own : common)
        const answer = await follow(agentFor, inputs, signal)
        return { kind: 'answer', ...answer, tookMs: now() - started }
      } catch (thrown) {
        signal.throwIfAborted()
        return whatWentWrong(thrown)
      } finally {
        await own?.destroy()
      }
    },
    close: async () => void (await Promise.all([strict.destroy(), lax.destroy()])),
  }
}

type Hop = {
  url: URL
  method: HttpInputs['method']
  headers: Record<string, string>
  body: string | null
}

/** An agent with the authorities, certificate and server name of the probe; null when it has none of its own. */
function ownAgent({ tls: { ca, cert, key, serverName }, insecureSkipVerify }: HttpInputs) {
  const own = {
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(serverName ? { servername: serverName } : {}),
  }
  return Object.keys(own).length > 0 ? createAgent(insecureSkipVerify, own) : null
}

async function follow(
  agentFor: (url: URL) => Agent,
  inputs: HttpInputs,
  signal: AbortSignal,
): Promise<{ status: number; body: string; cut: boolean }> {
  let hop = firstHop(inputs)
  for (let redirects = 0; ; redirects++) {
    checkHost(hop.url.hostname)
    const reply = await agentFor(hop.url).request({
      origin: hop.url.origin,
      path: hop.url.pathname + hop.url.search,
      method: hop.method,
      headers: hop.headers,
      body: hop.body,
      signal,
    })
    const next = nextHop(hop, reply)
    if (next?.body && inputs.files.body && next.url.origin !== hop.url.origin)
      throw new Error('it redirects to another host, and a body out of a Secret is not taken there')
    if (next && redirects < maxRedirects) {
      reply.body.destroy()
      reply.body.on('error', () => {})
      hop = next
      continue
    }
    if (next) {
      reply.body.destroy()
      reply.body.on('error', () => {})
      throw new Error(`it redirects more than ${maxRedirects} times`)
    }
    const wanted = inputs.responseBody !== null && hop.method !== 'HEAD'
    return { status: reply.statusCode, ...(await readBody(reply.body, wanted ? maxBodyBytes : 0)) }
  }
}

function firstHop(inputs: HttpInputs): Hop {
  const url = new URL(inputs.url)
  const names = new Set(Object.keys(inputs.headers).map((name) => name.toLowerCase()))
  const headers = { ...inputs.headers }
  const authorization = authorizationOf(inputs, url)
  if (authorization && !names.has('authorization')) headers.authorization = authorization
  if (!names.has('user-agent')) headers['user-agent'] = 'chaosplane-probe'
  const writes = inputs.method === 'POST' || inputs.method === 'PUT'
  if (writes && inputs.contentType && !names.has('content-type'))
    headers['content-type'] = inputs.contentType
  return { url, method: inputs.method, headers, body: writes ? inputs.body : null }
}

function authorizationOf({ auth }: HttpInputs, url: URL): string | undefined {
  if (auth) {
    // documented as base64; a colon is outside that alphabet, so this is `user:password` as people think of it
    const plain = auth.type === 'Basic' && auth.credentials.includes(':')
    return `${auth.type} ${plain ? base64(auth.credentials) : auth.credentials.trim()}`
  }
  if (!url.username) return undefined
  return `Basic ${base64(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`)}`
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

const secretHeaders = new Set(['authorization', 'cookie', 'proxy-authorization', 'host'])
const bodyHeaders = new Set(['content-type', 'content-length', 'content-encoding'])

/** Where an answer sends us; undefined: nowhere. */
function nextHop(hop: Hop, reply: Dispatcher.ResponseData): Hop | undefined {
  const { location } = reply.headers
  if (![301, 302, 303, 307, 308].includes(reply.statusCode) || typeof location !== 'string')
    return undefined
  const url = new URL(location, hop.url)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Error(`it redirects to ${url.protocol}, which is not HTTP`)
  const { statusCode: status } = reply
  const toGet = status === 303 ? hop.method !== 'HEAD' : status < 303 && hop.method === 'POST'
  const foreign = url.origin !== hop.url.origin
  const headers = Object.entries(hop.headers).filter(([name]) => {
    const lower = name.toLowerCase()
    return !(foreign && secretHeaders.has(lower)) && !(toGet && bodyHeaders.has(lower))
  })
  return {
    url,
    method: toGet ? 'GET' : hop.method,
    headers: Object.fromEntries(headers),
    body: toGet ? null : hop.body,
  }
}

async function readBody(
  body: Dispatcher.ResponseData['body'],
  max: number,
): Promise<{ body: string; cut: boolean }> {
  if (max === 0) {
    body.on('error', () => {})
    body.destroy()
    return { body: '', cut: false }
  }
  const parts: Buffer[] = []
  let size = 0
  // leaving the loop destroys the stream, and with it the connection
  for await (const part of body as AsyncIterable<Buffer>) {
    parts.push(part)
    size += part.length
    if (size > max) break
  }
  return { body: Buffer.concat(parts).subarray(0, max).toString('utf8'), cut: size > max }
}

const inWords = new Map(
  Object.entries({
    ECONNREFUSED: 'the connection was refused',
    ECONNRESET: 'the connection was reset',
    EPIPE: 'the connection was reset',
    ENOTFOUND: 'the host name does not resolve',
    EAI_AGAIN: 'the host name does not resolve (no answer from DNS)',
    EHOSTUNREACH: 'there is no route to the host',
    ENETUNREACH: 'there is no route to the network',
    ETIMEDOUT: 'the connection timed out',
    UND_ERR_SOCKET: 'the connection was closed before the answer was complete',
    UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the answer ended before it was complete',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed (insecureSkipVerify accepts it)',
    SELF_SIGNED_CERT_IN_CHAIN:
      'the certificate chain is self-signed (insecureSkipVerify accepts it)',
    UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      'the certificate cannot be verified (insecureSkipVerify accepts it)',
    CERT_HAS_EXPIRED: 'the certificate has expired (insecureSkipVerify accepts it)',
  }),
)

/** An answer that did not come is a reading; a request that cannot be sent is one too. */
function whatWentWrong(thrown: unknown): HttpReading {
  const errorsSeen = causes(thrown)
  const refused = errorsSeen.find((error) => error instanceof AddressRefused)
  if (refused) return { kind: 'impossible', why: `${refused.message}.` }
  const last = errorsSeen.at(-1)
  if (last instanceof errors.InvalidArgumentError || last instanceof errors.NotSupportedError)
    return { kind: 'impossible', why: `the request cannot be sent (${last.message}).` }
  const codes = errorsSeen.map((error) => String((error as { code?: unknown }).code ?? ''))
  const known = codes
    .toReversed()
    .map((code) => inWords.get(code))
    .find(Boolean)
  return { kind: 'unreachable', why: known || last?.message || String(thrown) }
}

/** The error with what caused it, outermost first. */
function causes(thrown: unknown): Error[] {
  const found: Error[] = []
  for (let error = thrown; error instanceof Error && found.length < 5; error = error.cause) {
    found.push(error)
    if (error instanceof AggregateError && error.errors[0] instanceof Error)
      found.push(error.errors[0])
  }
  return found
}
