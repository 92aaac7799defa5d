import { createServer, type Server } from 'node:http'

/** What the probes of the kubelet ask. */
export type Health = {
  /** false: start me anew */
  alive(): boolean
  /** false: I could not take over now */
  ready(): boolean
  /** in the text format of Prometheus */
  metrics(): string
}

/** Serves /healthz, /readyz and /metrics; resolves when it listens. */
export async function serveHealth(port: number, health: Health): Promise<Server> {
  const answers: Record<string, () => boolean> = {
    '/healthz': health.alive,
    '/readyz': health.ready,
  }
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? ''
    if (path === '/metrics') {
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
      response.end(health.metrics())
      return
    }
    const answer = answers[path]
    const good = answer?.()
    response.writeHead(answer ? (good ? 200 : 503) : 404, { 'content-type': 'text/plain' })
    response.end(answer ? (good ? 'ok\n' : 'not ready\n') : 'try /healthz, /readyz or /metrics\n')
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
  return server
}
