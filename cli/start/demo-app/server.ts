import { createServer, type Server, type ServerResponse } from 'node:http'

/** What the demo application is called and how much work one answer costs. */
export type DemoSettings = {
  name: string
  /** pod that answers, so that a caller sees who served it */
  pod: string
  /** rounds of arithmetic per request: enough that a busy core is felt in the latency */
  workRounds: number
  /** requests are still accepted for so long after the request to stop */
  drainMs: number
}

/** Counters in the text format that Prometheus reads. */
export type DemoCounters = { requests: Map<number, number>; seconds: number; inFlight: number }

/** An HTTP server with `/`, `/healthz` and `/metrics`, not yet listening. */
export function createDemo(settings: DemoSettings, monotonic: () => number): DemoServer {
  const counters: DemoCounters = { requests: new Map(), seconds: 0, inFlight: 0 }
  let stopping = false
  const server = createServer((request, response) => {
    const started = monotonic()
    counters.inFlight++
    response.on('close', () => {
      counters.inFlight--
      counters.seconds += (monotonic() - started) / 1000
      const seen = counters.requests.get(response.statusCode) ?? 0
      counters.requests.set(response.statusCode, seen + 1)
    })
    const path = new URL(request.url ?? '/', 'http://demo').pathname
    if (stopping) response.setHeader('connection', 'close')
    answer(path, response, { settings, counters })
  })
  return {
    server,
    async stop(sleep) {
      stopping = true
      // Endpoints are told of the end at the same time as we are: those who have not heard yet still get answers.
      await sleep(settings.drainMs)
      await closed(server)
    },
  }
}

/** The server and its graceful end. */
export type DemoServer = {
  server: Server
  stop(sleep: (ms: number) => Promise<void>): Promise<void>
}

function answer(
  path: string,
  response: ServerResponse,
  { settings, counters }: { settings: DemoSettings; counters: DemoCounters },
): void {
  if (path === '/') {
    const sum = work(settings.workRounds)
    send(response, 200, `${JSON.stringify({ app: settings.name, pod: settings.pod, sum })}\n`)
  } else if (path === '/healthz') send(response, 200, 'ok\n')
  else if (path === '/metrics') send(response, 200, metricsText(settings.name, counters))
  else send(response, 404, `no ${path} here; try /, /healthz or /metrics\n`)
}

function send(response: ServerResponse, status: number, body: string): void {
  const type = body.startsWith('{') ? 'application/json' : 'text/plain; charset=utf-8'
  response.writeHead(status, { 'content-type': type }).end(body)
}

/** The counters as text. */
export function metricsText(app: string, { requests, seconds, inFlight }: DemoCounters): string {
  const lines = ['# TYPE demo_requests_total counter']
  for (const [status, count] of [...requests].sort(([a], [b]) => a - b))
    lines.push(`demo_requests_total{app="${app}",code="${status}"} ${count}`)
  lines.push('# TYPE demo_request_seconds_total counter')
  lines.push(`demo_request_seconds_total{app="${app}"} ${seconds.toFixed(6)}`)
  lines.push('# TYPE demo_requests_in_flight gauge')
  lines.push(`demo_requests_in_flight{app="${app}"} ${inFlight}`)
  return `${lines.join('\n')}\n`
}

function work(rounds: number): number {
  let sum = 0
  for (let i = 0; i < rounds; i++) sum = (sum * 31 + i) % 1_000_003
  return sum
}

const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
