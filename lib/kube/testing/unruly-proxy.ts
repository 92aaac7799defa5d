import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Agent, request } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'

/** What becomes of one request. */
export type Fate =
  | { do: 'pass' }
  /** answered here; the API server never hears of it */
  | { do: 'answer'; status: number; headers?: Record<string, string>; body?: string }
  /** the connection breaks before the API server hears of it */
  | { do: 'reset' }
  /** the API server does it, and the answer is lost */
  | { do: 'lose-answer' }
  /** nothing ever comes */
  | { do: 'hang' }

/** A request as the proxy saw it. */
export type Passed = { method: string; url: string; agent: string; status: number | undefined }

/** A proxy before a real API server, that misbehaves as told. */
export type UnrulyProxy = {
  /** a config that leads through it, as the administrator */
  config: KubeConfig
  seen: Passed[]
  connections(): number
  /** decides about each request from now on */
  rule(fate: (method: string, url: string) => Fate): void
  /** the next `times` requests that match get this fate */
  next(times: number, matches: RegExp, fate: Fate): void
  obey(): void
  /** breaks every watch that is open now; a clean one ends as the API server would end it */
  cutWatches(how: 'clean' | 'reset'): void
  close(): Promise<void>
}

type World = {
  upstream: { origin: string; agent: Agent }
  fate: (method: string, url: string) => Fate
  seen: Passed[]
  /** with the API server's answer, which goes on after a clean cut */
  watches: Map<ServerResponse, IncomingMessage>
}

/** Starts an UnrulyProxy on a free port of loopback. */
export async function startUnrulyProxy(kubeconfig: string): Promise<UnrulyProxy> {
  const upstream = await readUpstream(kubeconfig)
  const pass = (): Fate => ({ do: 'pass' })
  const world: World = { upstream, fate: pass, seen: [], watches: new Map() }
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((incoming, outgoing) => void handle(world, incoming, outgoing))
  server.on('connection', (socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    config: configFor(`http://127.0.0.1:${port}`),
    seen: world.seen,
    connections: () => connections,
    rule(fate) {
      world.fate = fate
    },
    next(times, matches, fate) {
      let left = times
      world.fate = (method, url) =>
        left > 0 && matches.test(`${method} ${url}`) && left-- > 0 ? fate : pass()
    },
    obey() {
      world.fate = pass
    },
    cutWatches(how) {
      for (const [watch, answer] of world.watches)
        if (how === 'clean') {
          answer.unpipe(watch)
          watch.end()
        } else watch.socket?.resetAndDestroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      upstream.agent.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

async function readUpstream(kubeconfig: string): Promise<World['upstream']> {
  const config = new KubeConfig()
  config.loadFromFile(kubeconfig)
  const options: Parameters<KubeConfig['applyToHTTPSOptions']>[0] = {}
  await config.applyToHTTPSOptions(options)
  const { ca, cert, key } = options as { ca: Buffer; cert: Buffer; key: Buffer }
  const agent = new Agent({ ca, cert, key, keepAlive: true })
  return { origin: config.getCurrentCluster()?.server ?? '', agent }
}

function configFor(server: string): KubeConfig {
  const config = new KubeConfig()
  const cluster = { name: 'proxy', server, skipTLSVerify: true }
  config.loadFromClusterAndUser(cluster, { name: 'anybody' })
  return config
}

async function handle(
  world: World,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const { method = 'GET', url = '/' } = incoming
  const fate = world.fate(method, url)
  const agent = incoming.headers['user-agent'] ?? ''
  const passed: Passed = { method, url, agent, status: undefined }
  world.seen.push(passed)
  if (fate.do === 'hang') return
  if (fate.do === 'reset') {
    incoming.socket.resetAndDestroy()
    return
  }
  if (fate.do === 'answer') {
    passed.status = fate.status
    outgoing.writeHead(fate.status, fate.headers).end(fate.body)
    return
  }
  forward(world, { incoming, outgoing, passed, lose: fate.do === 'lose-answer' })
}

type Forward = {
  incoming: IncomingMessage
  outgoing: ServerResponse
  passed: Passed
  lose: boolean
}

function forward(world: World, { incoming, outgoing, passed, lose }: Forward): void {
  const { origin, agent } = world.upstream
  const { host: _, connection: __, ...headers } = incoming.headers
  const up = request(`${origin}${passed.url}`, { method: passed.method, headers, agent })
  up.on('error', () => outgoing.destroy())
  up.on('response', (answer) => {
    passed.status = answer.statusCode
    if (lose) {
      answer.resume()
      answer.on('end', () => incoming.socket.resetAndDestroy())
      return
    }
    if (passed.url.includes('watch=true')) world.watches.set(outgoing, answer)
    outgoing.on('close', () => {
      world.watches.delete(outgoing)
      up.destroy()
    })
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    outgoing.flushHeaders()
    answer.on('error', () => outgoing.destroy())
    answer.pipe(outgoing)
  })
  incoming.pipe(up)
}
