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
