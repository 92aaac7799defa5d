import { createServer, type Server } from 'node:http'

/** What the probes of the kubelet ask. */
export type Health = {
  /** false: start me anew */
  alive(): boolean
  /** false: I could not take over now */
  ready(): boolean
}

/** Serves /healthz and /readyz; resolves when it listens. */
export async function serveHealth(port: number, health: Health): Promise<Server> {
  const answers: Record<string, () => boolean> = {
    '/healthz': health.alive,
    '/readyz': health.ready,
  }
  const server = createServer((request, response) => {
    const answer = answers[request.url?.split('?')[0] ?? '']
    const good = answer?.()
    response.writeHead(answer ? (good ? 200 : 503) : 404, { 'content-type': 'text/plain' })
    response.end(answer ? (good ? 'ok\n' : 'not ready\n') : 'try /healthz or /readyz\n')
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
  return server
}
