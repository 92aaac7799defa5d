import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { startLoad } from './load.ts'
import { createDemo, metricsText } from './server.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function demo(drainMs = 0) {
  const settings = { name: 'hats', pod: 'hats-1', workRounds: 10, drainMs }
  const made = createDemo(settings, () => performance.now())
  await new Promise<void>((up) => made.server.listen(0, '127.0.0.1', up))
  closers.push(() => made.server.close())
  const { port } = made.server.address() as AddressInfo
  return { ...made, url: `http://127.0.0.1:${port}` }
}

describe('the demo application', () => {
  it('says who answered', async () => {
    const { url } = await demo()
    const body = (await (await fetch(url)).json()) as { app: string; pod: string }
    expect(body).toMatchObject({ app: 'hats', pod: 'hats-1' })
  })

  it('is healthy, and answers 404 for what it does not know', async () => {
    const { url } = await demo()
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect((await fetch(`${url}/nothing`)).status).toBe(404)
  })

  it('counts its answers by code', async () => {
    const { url } = await demo()
    await (await fetch(url)).text()
    await (await fetch(`${url}/nothing`)).text()
    const text = await (await fetch(`${url}/metrics`)).text()
    expect(text).toContain('demo_requests_total{app="hats",code="200"} 1')
    expect(text).toContain('demo_requests_total{app="hats",code="404"} 1')
    expect(text).toContain('demo_requests_in_flight{app="hats"} 1')
  })

  it('writes its metrics in order of the codes', () => {
    const requests = new Map([
      [503, 1],
      [200, 7],
    ])
    expect(
      metricsText('x', { requests, seconds: 0.5, inFlight: 0 }).split('\n').slice(0, 3),
    ).toEqual([
      '# TYPE demo_requests_total counter',
      'demo_requests_total{app="x",code="200"} 7',
      'demo_requests_total{app="x",code="503"} 1',
    ])
  })

  it('answers while it drains, and then no longer', async () => {
    const { url, stop } = await demo()
    const drained = Promise.withResolvers<void>()
    const stopped = stop(() => drained.promise)
    const during = await fetch(url)
    expect(during.status).toBe(200)
    expect(during.headers.get('connection')).toBe('close')
    await during.text()
    drained.resolve()
    await stopped
    await expect(fetch(url)).rejects.toThrow()
  })
})

describe('the load', () => {
  it('counts what was answered and what was not', async () => {
    let asked = 0
    const server = createServer((_, response) => {
      response.writeHead(asked++ % 2 === 0 ? 200 : 500).end()
    })
    await new Promise<void>((up) => server.listen(0, '127.0.0.1', up))
    closers.push(() => server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const load = startLoad({ urls: [url], rate: 100, timeoutMs: 1_000, maxInFlight: 10 })
    while (load.counts().ok < 2 || load.counts().failed < 2) await delay(10)
    load.stop()
    const { sent, ok, failed } = load.counts()
    expect(sent).toBeGreaterThanOrEqual(ok + failed)
  })

  it('does not pile up open requests', async () => {
    const server = createServer(() => {})
    await new Promise<void>((up) => server.listen(0, '127.0.0.1', up))
    closers.push(() => {
      server.closeAllConnections()
      server.close()
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const load = startLoad({ urls: [url], rate: 100, timeoutMs: 5_000, maxInFlight: 2 })
    while (load.counts().skipped < 3) await delay(10)
    load.stop()
    expect(load.counts().sent).toBe(2)
  })

  it.each([0, -1, 201, Number.NaN])('refuses a rate of %s', (rate) => {
    const settings = { urls: ['http://127.0.0.1/'], rate, timeoutMs: 1, maxInFlight: 1 }
    expect(() => startLoad(settings)).toThrow('--rate must be above 0 and at most 200')
  })
})
