import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { afterEach, expect, it } from 'vitest'
import { createKubeClient, type KubeClient } from './client.ts'

let server: Server
let kube: KubeClient
let now = 0
afterEach(async () => {
  await kube.close()
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

type Play = 'cut' | 'forbid' | 'ok'

/** An API server that plays these parts, one for each request, and the last one for ever. */
async function serve(...plays: Play[]): Promise<void> {
  now = 0
  server = createServer((request, response) => {
    const play = plays.length > 1 ? plays.shift() : plays[0]
    if (play === 'cut') return request.socket.destroy()
    response.writeHead(play === 'ok' ? 200 : 403, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify({ kind: play === 'ok' ? 'Pod' : 'Status', message: 'not you' }))
  })
  await new Promise<void>((listens) => server.listen(0, '127.0.0.1', listens))
  const config = new KubeConfig()
  config.loadFromClusterAndUser(
    {
      name: 'c',
      server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      skipTLSVerify: true,
    },
    { name: 'u' },
  )
  kube = createKubeClient({ config, userAgent: 'test', random: () => 0, monotonic: () => now })
}
const signal = () => AbortSignal.timeout(10_000)
const get = () => kube.get('/api/v1/pods', { signal: signal() })

it('an API server that has just come back and forbids is asked again', async () => {
  await serve('cut', 'forbid', 'forbid', 'ok')
  expect(await get()).toMatchObject({ kind: 'Pod' })
})

it('a write that must not happen twice is sent again as well: nothing was done', async () => {
  await serve('cut', 'cut', 'forbid', 'ok')
  await kube.get('/api/v1/pods', { signal: signal(), once: true }).catch(() => {})
  await kube.get('/api/v1/pods', { signal: signal(), once: true }).catch(() => {})
  const create = kube.create('/api/v1/pods', {}, { signal: signal() })
  expect(await create).toMatchObject({ kind: 'Pod' })
})

it('who tries by itself is told that it is not available', async () => {
  await serve('cut', 'forbid')
  await kube.get('/api/v1/pods', { signal: signal(), once: true }).catch(() => {})
  const call = kube.get('/api/v1/pods', { signal: signal(), once: true })
  await expect(call).rejects.toMatchObject({ status: 503, retryAfterMs: 200 })
})

it('a right that is missing is final at once while it was not away', async () => {
  await serve('forbid')
  await expect(get()).rejects.toMatchObject({ status: 403 })
})

it('and it is final when it has been back for long', async () => {
  await serve('cut', 'forbid')
  await kube.get('/api/v1/pods', { signal: signal(), once: true }).catch(() => {})
  now = 10_001
  await expect(get()).rejects.toMatchObject({ status: 403 })
})
