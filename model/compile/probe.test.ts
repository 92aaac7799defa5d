import { describe, expect, it } from 'vitest'
import { parseProbe } from './probe.ts'

const http = `
type: httpProbe
httpProbe/inputs:
  url: http://web.demo.svc:8080/health
  insecureSkipVerify: true
  headers: { X-A: b }
  method:
    post: { contentType: application/json, body: '{}', criteria: contains, responseBody: ok }
runProperties: { probeTimeout: 2s, interval: 500ms, attempt: 2, probePollingInterval: 3s, initialDelaySeconds: 4 }
`

describe('an entry of the probe registry', () => {
  it('is read with its mode and name from the reference', () => {
    expect(parseProbe(http, 'Edge', 'google-ping')).toEqual({
      ok: true,
      notes: [],
      probe: {
        name: 'google-ping',
        mode: 'Edge',
        type: 'httpProbe',
        run: {
          timeoutMs: 2000,
          intervalMs: 500,
          attempts: 2,
          pollingMs: 3000,
          initialDelayMs: 4000,
          stopOnFailure: false,
          verbosity: 'info',
        },
        inputs: {
          url: 'http://web.demo.svc:8080/health',
          method: 'POST',
          headers: { 'X-A': 'b' },
          contentType: 'application/json',
          body: '{}',
          insecureSkipVerify: true,
          tls: { ca: '', cert: '', key: '', serverName: '' },
          files: {},
          auth: null,
          responseCode: null,
          responseBody: { criteria: 'contains', value: 'ok' },
        },
      },
    })
  })

  it('is read as an object, with the short name of its type and a source as text', () => {
    const probe = {
      name: 'check',
      type: 'cmd',
      mode: 'EOT',
      'cmdProbe/inputs': {
        command: './healthcheck',
        comparator: { type: 'string', criteria: 'Contains', value: '[P000]' },
        env: [{ name: 'A', value: 1 }],
        source: '{"image": "img", "command": ["sh"], "args": "-c x"}',
      },
    }
    expect(parseProbe(probe, '')).toMatchObject({
      ok: true,
      probe: {
        name: 'check',
        type: 'cmdProbe',
        inputs: {
          comparator: { criteria: 'contains' },
          env: [{ name: 'A', value: '1' }],
          source: { image: 'img', command: ['sh'], args: ['-c', 'x'] },
        },
      },
    })
  })

  it('is read for objects of the cluster', () => {
    const inputs = {
      group: 'apps',
      version: 'v1',
      resource: 'deployments',
      namespace: 'demo',
      resourceNames: 'a, b',
      operation: 'present',
    }
    expect(parseProbe({ type: 'k8sProbe', 'k8sProbe/inputs': inputs }, 'SOT', 'x')).toMatchObject({
      probe: {
        inputs: { resourceNames: ['a', 'b'], operation: 'present', minimum: 1, ready: false },
      },
    })
  })

  const bad: [string, unknown, string][] = [
    ['no YAML', 'a: [', 'google-ping'],
    ['a list', '- a', 'google-ping'],
    ['no type', {}, 'type'],
    ['no URL', { type: 'httpProbe', 'httpProbe/inputs': { method: {} } }, 'httpProbe/inputs.url'],
    [
      'a bad time',
      {
        ...JSON.parse('{"type":"httpProbe","httpProbe/inputs":{"url":"http://a"}}'),
        runProperties: { interval: 'soon' },
      },
      'runProperties.interval',
    ],
    [
      'a probe pod with rights',
      {
        type: 'cmdProbe',
        'cmdProbe/inputs': {
          command: 'x',
          comparator: { criteria: 'equal' },
          source: { image: 'i', privileged: true },
        },
      },
      'cmdProbe/inputs.source.privileged',
    ],
  ]
  it.each(bad)('is refused with %s', (_name, envelope, path) => {
    const parsed = parseProbe(envelope, 'SOT', 'google-ping')
    expect(parsed.ok ? [] : parsed.refusals.map((r) => r.path)).toContain(path)
  })
})

describe('files of a probe', () => {
  const of = (inputs: object) =>
    parseProbe(
      { name: 'p', type: 'http', 'httpProbe/inputs': { url: 'https://a', ...inputs } },
      'SOT',
    )
  const login = { type: 'Basic', credentialsFile: 'probe-login/basic.auth' }
  const tlsConfig = { caFile: 'web/ca.crt', certFile: 'web/tls.crt', keyFile: 'web/tls.key' }

  it('are keys of Secrets', () => {
    const method = { post: { contentType: 'text/plain', bodyPath: 'orders/one', criteria: '==' } }
    expect(
      of({ auth: login, tlsConfig: { ...tlsConfig, serverName: 'web' }, method }),
    ).toMatchObject({
      ok: true,
      notes: [],
      probe: {
        inputs: {
          auth: { type: 'Basic', credentials: '' },
          tls: { ca: '', cert: '', key: '', serverName: 'web' },
          files: {
            credentials: { secret: 'probe-login', key: 'basic.auth' },
            body: { secret: 'orders', key: 'one' },
            ca: { secret: 'web', key: 'ca.crt' },
            cert: { secret: 'web', key: 'tls.crt' },
            key: { secret: 'web', key: 'tls.key' },
          },
        },
      },
    })
  })

  it.each([
    [
      'a path of a disk',
      { auth: { type: 'Basic', credentialsFile: '/etc/login' } },
      'auth.credentialsFile',
    ],
    ['a path with dots', { tlsConfig: { caFile: '../ca.crt' } }, 'tlsConfig.caFile'],
    ['a Secret of another namespace', { tlsConfig: { caFile: 'a/b/c' } }, 'tlsConfig.caFile'],
    ['a Secret without a key', { tlsConfig: { caFile: 'web' } }, 'tlsConfig.caFile'],
    ['credentials twice', { auth: { ...login, credentials: 'a:b' } }, 'auth.credentialsFile'],
    [
      'a certificate without a key',
      { tlsConfig: { certFile: 'web/tls.crt' } },
      'tlsConfig.keyFile',
    ],
    ['a body twice', { method: { post: { body: 'a', bodyPath: 'b/c' } } }, 'method.post.bodyPath'],
    ['a misspelt file', { tlsConfig: { caFil: 'web/ca.crt' } }, 'tlsConfig.caFil'],
  ])('%s is refused', (_name, inputs, path) => {
    const parsed = of(inputs)
    expect(parsed.ok ? [] : parsed.refusals.map((r) => r.path)).toEqual([
      `httpProbe/inputs.${path}`,
    ])
  })

  it.each(['get', 'head'])('that are not sent by %s are said, and not read', (method) => {
    const parsed = of({ method: { [method]: { bodyPath: 'orders/one' } } })
    expect(parsed.ok && parsed.notes).toEqual([
      `httpProbe/inputs.method.${method}.bodyPath is not sent by ${method.toUpperCase()}.`,
    ])
    expect(parsed.ok && parsed.probe.inputs).toMatchObject({ files: {} })
    expect(parsed.ok && parsed.probe.inputs).not.toHaveProperty('files.body')
  })
})

describe('how a probe is run', () => {
  const of = (runProperties: object, more: object = {}) =>
    parseProbe(
      { name: 'p', type: 'http', 'httpProbe/inputs': { url: 'https://a' }, runProperties, ...more },
      'SOT',
    )
  const runOf = (runProperties: object) => {
    const parsed = of(runProperties)
    return parsed.ok ? parsed.probe.run : parsed.refusals
  }
  it('reads the verbosity, and refuses one that there is not', () => {
    expect(runOf({ verbosity: 'Debug' })).toMatchObject({ verbosity: 'debug' })
    expect(runOf({ verbosity: '' })).toMatchObject({ verbosity: 'info' })
    expect(runOf({ verbosity: 'debugg' })).toMatchObject([
      { path: 'runProperties.verbosity', suggestion: 'did you mean debug?' },
    ])
  })
  it('reads the older delay as number or text, and refuses what is none', () => {
    expect(runOf({ initialDelaySeconds: '3' })).toMatchObject({ initialDelayMs: 3000 })
    for (const initialDelaySeconds of ['soon', -1, true])
      expect(runOf({ initialDelaySeconds })).toMatchObject([
        { path: 'runProperties.initialDelaySeconds' },
      ])
  })
  it('says what is not used', () => {
    const parsed = of({ evaluationTimeout: '5s' }, { data: 'kind: Pod' })
    expect(parsed.ok && parsed.notes).toEqual([
      'runProperties.evaluationTimeout is not used; probeTimeout counts.',
      'data is not used: a probe creates nothing.',
    ])
  })
})
