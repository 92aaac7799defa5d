import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock, systemMonotonic } from '../../../lib/clock.ts'
import type { HttpInputs, ProbeOutcome } from '../../../model/probe.ts'
import { evaluateProbe } from '../evaluate.ts'
import { httpPlan, probeIo } from '../test-plans.ts'
import { httpProbe } from './index.ts'
import { misbehavingServer, type TestServer } from './misbehaving-server.ts'
import { createHttpSampler, maxBodyBytes, maxRedirects } from './send.ts'

const sampler = createHttpSampler(systemMonotonic)
let server: TestServer
let other: TestServer
beforeAll(async () => {
  server = await misbehavingServer()
  other = await misbehavingServer()
})
afterAll(async () => {
  await Promise.all([server.close(), other.close(), sampler.close()])
})

const ask = (path: string, inputs: Partial<HttpInputs> = {}, timeoutMs = 5000) => {
  const url = path.startsWith('/') ? server.url + path : path
  const plan = httpPlan({ url, ...inputs }, { timeoutMs })
  const io = probeIo({ http: sampler.sample, clock: systemClock })
  return evaluateProbe(plan, io, new AbortController().signal)
}
const code = (value: string, criteria = '==') => ({ responseCode: { criteria, value } })
const body = (value: string, criteria = 'equal') => ({ responseBody: { criteria, value } })

type Case = [path: string, inputs: Partial<HttpInputs>, ProbeOutcome['outcome'], detail: RegExp]
const cases: Record<string, Case> = {
  'a good answer passes': ['/ok', code('200'), 'passed', /^GET .*\/ok answered 200 in \d+ ms$/],
  'a wrong status fails': ['/500', code('200'), 'failed', /observed 500, expected == 200\.$/],
  'a status in a range passes': ['/500', code('500,599', 'between'), 'passed', /500/],
  'a body passes without its line end': ['/ok', body('all is well'), 'passed', /200/],
  'a body that lacks a word fails': ['/ok', body('ill', 'contains'), 'failed', /body: observed/],
  'both must hold': ['/ok', { ...code('200'), ...body('x') }, 'failed', /body/],
  'with neither, any answer passes': ['/500', {}, 'passed', /answered 500/],
  'a reset fails': ['/reset', code('200'), 'failed', /reset|closed/],
  'half a body fails': ['/half', body('x'), 'failed', /before (it|the answer) was complete/],
  'a closed port fails': ['http://127.0.0.1:1/', code('200'), 'failed', /refused/],
  'a name that nobody has fails': ['http://nobody.invalid/', code('200'), 'failed', /not resolve/],
  'a redirect is followed': ['/to-ok', body('all is well'), 'passed', /200/],
  'a redirect loop fails': ['/loop', code('200'), 'failed', /redirects more than 10 times/],
  'a redirect away from HTTP fails': ['/to-file', code('200'), 'failed', /redirects to file:/],
  'HEAD has no body to compare': ['/ok', { method: 'HEAD', ...body('') }, 'passed', /^HEAD/],
  'what is not a URL is an error': ['google.com', code('200'), 'error', /write it as http:/],
  'another scheme is an error': ['ftp://x/', code('200'), 'error', /begin with http/],
  'unknown criteria is an error': ['/ok', code('200', 'about'), 'error', /use one of >=/],
  'a header that HTTP forbids is an error': [
    '/ok',
    { headers: { 'a b': 'c' } },
    'error',
    /header "a b"/,
  ],
  "the cloud's metadata address is an error": [
    'http://169.254.169.254/latest',
    code('200'),
    'error',
    /link-local/,
  ],
  'the same address in IPv6 clothes is an error': [
    'http://[::ffff:a9fe:a9fe]/',
    code('200'),
    'error',
    /link-local/,
  ],
  'the same address behind a redirect is an error': [
    '/to-metadata',
    code('200'),
    'error',
    /link-local/,
  ],
}

describe('an http probe', () => {
  it.each(Object.entries(cases))('%s', async (_, [path, inputs, outcome, detail]) => {
    const seen = await ask(path, inputs)
    expect(seen).toMatchObject({ outcome })
    expect(seen.detail).toMatch(detail)
    if (seen.outcome === 'failed') expect(seen.trouble.code).toBe('HTTP_PROBE_FAILURE')
    if (seen.outcome === 'error') expect(seen.trouble.code).toBe('HTTP_PROBE_ERROR')
  })

  it.each(['/hang', '/slow-body'])(
    'fails when %s gives no complete answer in time',
    async (path) => {
      const seen = await ask(path, body('first part'), 150)
      expect(seen).toMatchObject({ outcome: 'failed', tries: 1 })
      expect(seen.detail).toMatch(/no complete answer within 150 ms/)
    },
  )

  it('reads no more than its bound of an endless body', async () => {
    const reading = await sampler.sample(
      httpPlan({ url: `${server.url}/huge`, ...body('y', 'contains') }).inputs as HttpInputs,
      AbortSignal.timeout(10_000),
    )
    expect(reading).toMatchObject({ kind: 'answer', status: 200, cut: true })
    if (reading.kind === 'answer') expect(reading.body).toHaveLength(maxBodyBytes)
    expect((await ask('/huge', body('y', 'contains'))).detail).toMatch(/first 1 MiB of the body/)
  })

  it('does not wait for a body that it does not compare', async () => {
    expect(await ask('/slow-body', code('200'), 3000)).toMatchObject({ outcome: 'passed' })
  })

  it('opens a connection for every try, so that a Service may choose another pod', async () => {
    const before = server.connections()
    await ask('/ok', code('200'))
    await ask('/ok', code('200'))
    expect(server.connections() - before).toBe(2)
  })

  it('stops following redirects at its bound', async () => {
    const before = server.asked.length
    await ask('/loop', code('200'))
    expect(server.asked.length - before).toBe(maxRedirects + 1)
  })

  it('rejects with the reason when it is called off', async () => {
    const plan = httpPlan({ url: `${server.url}/hang` }, { timeoutMs: 60_000 })
    const off = new AbortController()
    const io = probeIo({ http: sampler.sample, clock: systemClock })
    const going = evaluateProbe(plan, io, off.signal)
    off.abort(new Error('run aborted'))
    await expect(going).rejects.toThrow('run aborted')
  })
})

describe('an http request', () => {
  const sent = (path: string) => server.asked.findLast((one) => one.path === path)

  it('carries method, headers, content type and body', async () => {
    const written = { method: 'POST', contentType: 'application/json', body: '{"a":1}' } as const
    await ask('/echo', { ...written, headers: { 'X-Run': '7' } })
    expect(sent('/echo')).toMatchObject({
      method: 'POST',
      body: '{"a":1}',
      headers: { 'x-run': '7', 'content-type': 'application/json' },
    })
  })

  it.each([
    ['Basic', 'user:pass', 'Basic dXNlcjpwYXNz'],
    ['Basic', 'dXNlcjpwYXNz', 'Basic dXNlcjpwYXNz'],
    ['Bearer', 'abc.def', 'Bearer abc.def'],
  ] as const)('signs in by %s with %s', async (type, credentials, header) => {
    await ask('/ok', { auth: { type, credentials } })
    expect(sent('/ok')?.headers.authorization).toBe(header)
  })

  it('signs in with the user of the URL, and shows neither him nor the query', async () => {
    const url = `${server.url.replace('//', '//me:secret@')}/500?token=hidden`
    const { detail } = await ask(url, code('200'))
    expect(sent('/500?token=hidden')?.headers.authorization).toBe('Basic bWU6c2VjcmV0')
    expect(detail).not.toMatch(/secret|hidden/)
  })

  it('keeps method and body behind a 307, and becomes a GET behind a 302', async () => {
    await ask('/to-echo', { method: 'POST', body: 'b' })
    expect(sent('/echo')).toMatchObject({ method: 'POST', body: 'b' })
    await ask('/to-ok', { method: 'POST', body: 'b' })
    expect(sent('/ok')).toMatchObject({ method: 'GET', body: '' })
  })

  it('does not take its credentials to another host', async () => {
    const auth = { type: 'Bearer', credentials: 'abc' } as const
    await ask(`/away?to=${encodeURIComponent(`${other.url}/ok`)}`, {
      auth,
      headers: { 'X-A': 'b' },
    })
    const arrived = other.asked.at(-1)
    expect(arrived?.headers).toMatchObject({ 'x-a': 'b' })
    expect(arrived?.headers.authorization).toBeUndefined()
  })
})

function selfSigned(): { key: string; cert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'self-signed-'))
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const files = ['-keyout', join(folder, 'key'), '-out', join(folder, 'cert')]
  const args = ['req', '-x509', ...curve, ...files, '-days', '1', '-subj', '/CN=localhost']
  try {
    execFileSync('openssl', args, { stdio: 'pipe', timeout: 10_000 })
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
    return { key: read('key'), cert: read('cert') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe('an https probe', () => {
  it('refuses a self-signed certificate unless it may skip the check', async () => {
    const https = createServer(selfSigned(), (_, reply) => void reply.end('ok'))
    await new Promise<void>((done) => https.listen(0, '127.0.0.1', done))
    const url = `https://127.0.0.1:${(https.address() as AddressInfo).port}/`
    try {
      const strict = await ask(url, code('200'))
      expect(strict).toMatchObject({ outcome: 'failed' })
      expect(strict.detail).toMatch(/self-signed \(insecureSkipVerify accepts it\)/)
      const lax = await ask(url, { ...code('200'), insecureSkipVerify: true })
      expect(lax).toMatchObject({ outcome: 'passed' })
    } finally {
      https.closeAllConnections()
      await new Promise((done) => https.close(done))
    }
  })
})

describe('an https probe with files', () => {
  const web = selfSigned()
  const visitor = selfSigned()
  let seen: string[] = []
  let https: ReturnType<typeof createServer>
  let url = ''
  beforeAll(async () => {
    const options = { ...web, requestCert: true, rejectUnauthorized: false, ca: [visitor.cert] }
    https = createServer(options, (request, reply) => {
      const socket = request.socket as TLSSocket
      const known = socket.authorized ? 'known' : 'unknown'
      seen.push(`${request.url} ${known} ${socket.servername || 'no name'}`)
      const to = new URL(request.url ?? '', 'https://x').searchParams.get('to')
      if (to) reply.writeHead(307, { location: to }).end()
      else reply.end('ok')
    })
    await new Promise<void>((done) => https.listen(0, '127.0.0.1', done))
    url = `https://127.0.0.1:${(https.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    https.closeAllConnections()
    await new Promise((done) => https.close(done))
  })
  beforeEach(() => {
    seen = []
  })
  const tls = { ca: '', cert: '', key: '', serverName: '' }

  it('trusts the authority that it is given, by the name that it is given', async () => {
    const named = { ...tls, ca: web.cert, serverName: 'localhost' }
    expect(await ask(`${url}/a`, { tls: named })).toMatchObject({ outcome: 'passed' })
    expect(seen).toEqual(['/a unknown localhost'])
    const other = { ...named, ca: visitor.cert }
    expect(await ask(`${url}/a`, { tls: other })).toMatchObject({ outcome: 'failed' })
    const wrong = { ...named, serverName: 'elsewhere' }
    expect(await ask(`${url}/a`, { tls: wrong })).toMatchObject({ outcome: 'failed' })
  })

  it('shows its certificate to the host that it names, and to no other', async () => {
    const inputs = { insecureSkipVerify: true, tls: { ...tls, ...visitor } }
    await ask(`${url}/a`, inputs)
    const local = url.replace('127.0.0.1', 'localhost')
    await ask(`${url}/?to=${encodeURIComponent(`${local}/b`)}`, inputs)
    expect(seen.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      '/a known',
      `/?to=${encodeURIComponent(`${local}/b`)} known`,
      '/b unknown',
    ])
  })

  it.each([
    ['an authority', { ca: 'x' }, { ca: { secret: 'web', key: 'ca' } }, /caFile: web\/ca does not/],
    ['a key', { cert: web.cert, key: 'x' }, {}, /no certificate with its key/],
    [
      'a key of another certificate',
      { cert: web.cert, key: visitor.key },
      {},
      /no certificate with/,
    ],
  ])('%s that is none is an error, not a failure', async (_name, over, files, detail) => {
    const outcome = await ask(`${url}/a`, { tls: { ...tls, ...over }, files })
    expect(outcome).toMatchObject({ outcome: 'error' })
    expect(outcome.detail).toMatch(detail)
  })

  it('does not take a body out of a Secret to another host', async () => {
    const files = { body: { secret: 's', key: 'k' } }
    const before = other.asked.length
    const away = `${url}/?to=${encodeURIComponent(`${other.url}/echo`)}`
    const sent = { method: 'POST' as const, body: 'secret', insecureSkipVerify: true }
    expect((await ask(away, { ...sent, files })).detail).toMatch(/out of a Secret is not taken/)
    expect(other.asked.length).toBe(before)
    expect(await ask(away, sent)).toMatchObject({ outcome: 'passed' })
  })
})

it('judging is pure: the same reading, the same outcome', () => {
  const { inputs } = httpPlan({ ...code('200') })
  const reading = { kind: 'answer', status: 200, body: '', cut: false, tookMs: 3 } as const
  expect(httpProbe.assess(reading, inputs as HttpInputs)).toEqual(
    httpProbe.assess({ ...reading }, inputs as HttpInputs),
  )
})
