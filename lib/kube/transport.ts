import type { KubeConfig } from '@kubernetes/client-node'
import { Agent, type Dispatcher, ProxyAgent } from 'undici'

/** Connections to one API server as one account: a small pool for calls, single ones for watches. */
export type Transport = {
  send(request: Outgoing): Promise<Dispatcher.ResponseData>
  /** forgets cached credentials, so that the next call reads them again */
  refresh(): void
  close(): Promise<void>
}

/** One HTTP request, `path` below the server's address. */
export type Outgoing = {
  method: Dispatcher.HttpMethod
  path: string
  headers: Record<string, string>
  body?: string
  signal: AbortSignal
  /** a watch or log: its own connection, no limit on silence */
  longLived?: boolean
}

type Identity = { headers: Record<string, string>; tls: Tls }
type Tls = {
  ca?: Buffer
  cert?: Buffer
  key?: Buffer
  rejectUnauthorized?: boolean
  servername?: string
}
type Agents = { calls: Dispatcher; watches: Dispatcher; tls: Tls }

/** Token files, exec plugins and certificates are asked again after this. */
const identityLastsMs = 30_000
const headersTimeout = 30_000

/** A Transport from a client-node KubeConfig, whatever way of signing in that holds. */
export function createTransport(config: KubeConfig, monotonic: () => number): Transport {
  const cluster = config.getCurrentCluster()
  if (!cluster) throw new Error('the kubeconfig has no current cluster; name a context')
  const server = new URL(cluster.server)
  const prefix = server.pathname.replace(/\/$/, '')
  let identity: { value: Promise<Identity>; until: number } | undefined
  let agents: Agents | undefined

  const currentIdentity = (): Promise<Identity> => {
    if (!identity || monotonic() > identity.until) {
      const value = readIdentity(config)
      identity = { value, until: monotonic() + identityLastsMs }
      value.catch(() => {
        identity = undefined
      })
    }
    return identity.value
  }
  const currentAgents = (tls: Tls): Agents => {
    if (agents && sameTls(agents.tls, tls)) return agents
    // a rotated certificate: what is under way ends on the old connections
    if (agents) void closeAgents(agents)
    agents = openAgents(tls, cluster.proxyUrl)
    return agents
  }

  return {
    async send({ longLived, path, headers, ...request }) {
      const { headers: mine, tls } = await currentIdentity()
      const { calls, watches } = currentAgents(tls)
      return (longLived ? watches : calls).request({
        ...request,
        origin: server.origin,
        path: `${prefix}${path}`,
        headers: { ...mine, ...headers },
        headersTimeout,
        ...(longLived ? { bodyTimeout: 0 } : {}),
      })
    },
    refresh() {
      identity = undefined
    },
    async close() {
      if (agents) await Promise.all([agents.calls.destroy(), agents.watches.destroy()])
    },
  }
}

async function readIdentity(config: KubeConfig): Promise<Identity> {
  const options: Parameters<KubeConfig['applyToHTTPSOptions']>[0] = { headers: {} }
  await config.applyToHTTPSOptions(options)
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value)
  if (options.auth)
    headers['Authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`
  const { ca, cert, key, rejectUnauthorized, servername } = options as Tls
  const given = { ca, cert, key, rejectUnauthorized, servername }
  const set = Object.entries(given).filter(([, value]) => value !== undefined)
  return { headers, tls: Object.fromEntries(set) as Tls }
}

function sameTls(a: Tls, b: Tls): boolean {
  const same = (x: Buffer | undefined, y: Buffer | undefined): boolean =>
    x === y || (x !== undefined && y !== undefined && x.equals(y))
  return same(a.ca, b.ca) && same(a.cert, b.cert) && same(a.key, b.key)
}

function openAgents(tls: Tls, proxyUrl: string | undefined): Agents {
  const connect = { ...tls, keepAlive: true, keepAliveInitialDelay: 30_000, timeout: 10_000 }
  // HTTP/1.1: a GOAWAY in mid-burst loses requests over h2, and a pool of 16 is no slower
  const common = { allowH2: false, pipelining: 1, keepAliveTimeout: 60_000 }
  if (proxyUrl?.startsWith('socks'))
    throw new Error(`${proxyUrl}: SOCKS proxies are not supported; use an HTTP proxy`)
  const open = (extra: object): Dispatcher =>
    proxyUrl
      ? new ProxyAgent({ ...common, ...extra, uri: proxyUrl, requestTls: tls })
      : new Agent({ ...common, ...extra, connect })
  return { calls: open({ connections: 16 }), watches: open({ bodyTimeout: 0 }), tls }
}

async function closeAgents({ calls, watches }: Agents): Promise<void> {
  await Promise.all([calls.close(), watches.close()])
}
