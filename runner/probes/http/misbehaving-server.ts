import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server on a free port; `asked` are the requests that came. */
export type TestServer = {
  url: string
  asked: { method: string; path: string; headers: NodeJS.Dict<string | string[]>; body: string }[]
  connections(): number
  close(): Promise<void>
}

const chunk = Buffer.alloc(64 * 1024, 'x')

/** One path per way to misbehave. */
const answers: Record<string, RequestListener> = {
  '/ok': (_, reply) => void reply.end('all is well\n'),
  '/echo': (_, reply) => void reply.end('echo'),
  '/500': (_, reply) => void reply.writeHead(500).end('broken'),
  '/hang': () => {},
  '/reset': (request) => void request.socket.resetAndDestroy(),
  '/half': (request, reply) => {
    reply.writeHead(200, { 'content-length': '100' }).write('half')
    setTimeout(() => request.socket.destroy(), 20)
  },
  '/slow-body': (_, reply) => void reply.writeHead(200).write('first part'),
  '/huge': (_, reply) => {
    const more = (): void => {
      while (!reply.destroyed && reply.write(chunk));
      if (!reply.destroyed) reply.once('drain', more)
    }
    more()
  },
  '/loop': (_, reply) => void reply.writeHead(302, { location: '/loop' }).end(),
  '/to-ok': (_, reply) => void reply.writeHead(302, { location: '/ok' }).end(),
  '/to-echo': (_, reply) => void reply.writeHead(307, { location: '/echo' }).end(),
  '/to-file': (_, reply) => void reply.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  '/to-metadata': (_, reply) =>
    void reply.writeHead(302, { location: 'http://169.254.169.254/latest' }).end(),
  '/away': (request, reply) => {
    const to = new URL(request.url ?? '/', 'http://x').searchParams.get('to') ?? '/'
    reply.writeHead(302, { location: to }).end()
  },
}

/** Starts it on the loopback address. */
export async function misbehavingServer(): Promise<TestServer> {
  const asked: TestServer['asked'] = []
  let connections = 0
  const server = createServer(async (request, reply) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    const { method = '', url = '', headers } = request
    asked.push({ method, path: url, headers, body: Buffer.concat(parts).toString() })
    const answer = answers[new URL(url, 'http://x').pathname]
    if (answer) answer(request, reply)
    else reply.writeHead(404).end()
  })
  server.on('connection', () => {
    connections += 1
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    connections: () => connections,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}
