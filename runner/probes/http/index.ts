import { X509Certificate } from 'node:crypto'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { createSecureContext } from 'node:tls'
import type { Trouble } from '../../../model/errors.ts'
import type { HttpInputs } from '../../../model/probe.ts'
import {
  bodyComparator,
  type Comparison,
  codeComparator,
  compare,
  refuseComparator,
} from '../comparator.ts'
import { quote } from '../pattern.ts'
import { failed, type HttpReading, notEvaluated, type ProbeKind, passed } from '../probe-io.ts'

const failure = (reason: string): Trouble => ({ code: 'HTTP_PROBE_FAILURE', reason })
const error = (reason: string): Trouble => ({ code: 'HTTP_PROBE_ERROR', reason })

/** The request as it may be shown: without user, password, query. */
export function shown({ method, url }: HttpInputs): string {
  const { origin, pathname } = new URL(url)
  return `${method} ${origin}${pathname}`
}

function badUrl(text: string): string | null {
  const url = URL.parse(text)
  if (!url) return `The url ${quote(text)} is not a URL; write it as http://host:port/path.`
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    return `The url ${quote(text)} must begin with http:// or https://.`
  return null
}

function badHeader(headers: Record<string, string>): string | null {
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch {
      return `The header ${quote(name)} cannot be sent; its name or value has characters that HTTP forbids.`
    }
  }
  return null
}

/** Contents of Secrets that TLS cannot use would else look like a service that does not answer. */
function badTls({ tls: { ca, cert, key }, files }: HttpInputs): string | null {
  const from = (file: 'ca' | 'cert' | 'key'): string =>
    files[file] ? `${files[file].secret}/${files[file].key}` : file
  try {
    const blocks = ca.match(/-----BEGIN [^-]*-----[^-]*-----END [^-]*-----/g) ?? [ca]
    if (ca !== '') for (const pem of blocks) new X509Certificate(pem)
  } catch {
    return `tlsConfig.caFile: ${from('ca')} does not hold certificates in PEM.`
  }
  try {
    if (cert || key) createSecureContext({ cert, key })
    return null
  } catch {
    return `tlsConfig: ${from('cert')} and ${from('key')} are no certificate with its key in PEM.`
  }
}

function refuse(inputs: HttpInputs): Trouble | null {
  const code = inputs.responseCode && refuseComparator(codeComparator(inputs.responseCode))
  const body = inputs.responseBody && refuseComparator(bodyComparator(inputs.responseBody))
  const why = badUrl(inputs.url) ?? badHeader(inputs.headers) ?? badTls(inputs) ?? code ?? body
  return why ? error(why) : null
}

type Answer = Extract<HttpReading, { kind: 'answer' }>

function comparisons(answer: Answer, inputs: HttpInputs): [what: string, Comparison][] {
  const { responseCode, responseBody } = inputs
  const made: [string, Comparison][] = []
  if (responseCode)
    made.push(['status', compare(codeComparator(responseCode), String(answer.status))])
  if (responseBody) {
    // a body that ends with a line end equals the same text without it
    const text = answer.body.replace(/\r?\n$/, '')
    made.push([
      answer.cut ? 'first 1 MiB of the body' : 'body',
      compare(bodyComparator(responseBody), text),
    ])
  }
  return made
}

function assess(reading: HttpReading, inputs: HttpInputs): ReturnType<typeof passed> {
  if (reading.kind === 'impossible') return notEvaluated(error(`${shown(inputs)}: ${reading.why}`))
  if (reading.kind === 'unreachable') return failed(failure(`${shown(inputs)}: ${reading.why}.`))
  const said = `${shown(inputs)} answered ${reading.status} in ${Math.round(reading.tookMs)} ms`
  const made = comparisons(reading, inputs)
  for (const [what, { result, text }] of made)
    if (result === 'unusable') return notEvaluated(error(`${said}; ${what}: ${text}`))
  const wrong = made.find(([, { result }]) => result === 'differs')
  if (wrong) return failed(failure(`${said}; ${wrong[0]}: ${wrong[1].text}.`))
  return passed(said)
}

/** Asks a URL and judges the status, the body, or both. */
export const httpProbe: ProbeKind<HttpInputs, HttpReading> = {
  refuse,
  sample: (inputs, io, { signal }) => io.http(inputs, signal),
  assess,
  tooLate: (inputs, timeoutMs) =>
    failed(failure(`${shown(inputs)}: no complete answer within ${timeoutMs} ms.`)),
}
