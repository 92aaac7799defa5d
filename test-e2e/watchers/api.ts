import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { parse } from 'yaml'

/** An object as the API server gives it; stories read what they need of it. */
// biome-ignore lint/suspicious/noExplicitAny: raw JSON of any kind, judged field by field
export type Json = any
export type Seen = { at: number; type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: Json }

/** The API as an outsider sees it: node's own https and nothing of the product's client. */
export class Api {
  readonly #url: string
  readonly #agent: Agent

  constructor(kubeconfig: string) {
    const config = parse(readFileSync(kubeconfig, 'utf8'))
    const [cluster, user] = [config.clusters[0].cluster, config.users[0].user]
    const read = (of: Json, key: string): Buffer =>
      of[`${key}-data`] ? Buffer.from(of[`${key}-data`], 'base64') : readFileSync(of[key])
    this.#url = cluster.server
    this.#agent = new Agent({
      keepAlive: true,
      ca: read(cluster, 'certificate-authority'),
      cert: read(user, 'client-certificate'),
      key: read(user, 'client-key'),
    })
  }

  get(path: string): Promise<Json> {
    return this.#call('GET', path)
  }
  create(path: string, body: object): Promise<Json> {
    return this.#call('POST', path, body)
  }
  patch(path: string, body: object): Promise<Json> {
    return this.#call('PATCH', path, body, 'application/merge-patch+json')
  }
  /** server-side apply */
  apply(path: string, body: object): Promise<Json> {
    const query = '?fieldManager=story&force=true'
    return this.#call('PATCH', path + query, body, 'application/apply-patch+yaml')
  }
  remove(path: string): Promise<Json> {
    return this.#call('DELETE', path)
  }

  /** Follows a collection through every break until `close()`. */
  follow(path: string): Follower {
    return new Follower(this, path)
  }

  async #call(method: string, path: string, body?: object, type = 'application/json') {
    const response = await this.open(method, path, { body, type })
    let text = ''
    for await (const part of response) text += part
    const status = response.statusCode ?? 0
    if (status === 404 && method !== 'POST') return undefined
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`)
    return JSON.parse(text)
  }

  open(method: string, path: string, { body, type }: { body?: object | undefined; type?: string }) {
    return new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
      const asked = request(
        this.#url + path,
        { method, agent: this.#agent, headers: { 'content-type': type ?? 'application/json' } },
        (response) => {
          response.setEncoding('utf8')
          resolve(response)
        },
      )
      asked.on('error', reject)
      asked.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Everything that happened to a collection, with the time at which it was seen here. */
export class Follower {
  readonly history: Seen[] = []
  readonly objects = new Map<string, Json>()
  readonly #api: Api
  readonly #path: string
  #closed = false
  #stream: { destroy(): void } | undefined
  #waiting: (() => void)[] = []

  constructor(api: Api, path: string) {
    this.#api = api
    this.#path = path
    void this.#run()
  }

  get(namespace: string, name: string): Json {
    return this.objects.get(`${namespace}/${name}`)
  }

  /** Waits until `look` gives something other than undefined or false. */
  async until<T>(what: string, ms: number, look: () => T | undefined | false): Promise<T> {
    const end = Date.now() + ms
    for (;;) {
      const found = look()
      if (found !== undefined && found !== false) return found
      if (Date.now() > end) throw new Error(`not seen within ${ms} ms: ${what}`)
      const seen = new Promise<void>((resolve) => this.#waiting.push(resolve))
      await Promise.race([seen, delay(100)])
    }
  }

  close(): void {
    this.#closed = true
    this.#stream?.destroy()
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        const list = await this.#api.get(this.#path)
        const there = new Set<string>()
        for (const object of list.items) there.add(this.#note('MODIFIED', object))
        for (const [key, object] of this.objects) if (!there.has(key)) this.#note('DELETED', object)
        await this.#watch(list.metadata.resourceVersion)
      } catch {
        // The server is away: asked again until it is back.
      }
      await delay(50)
    }
  }

  async #watch(from: string): Promise<void> {
    const path = `${this.#path}?watch=true&resourceVersion=${from}`
    const response = await this.#api.open('GET', path, {})
    this.#stream = response
    let rest = ''
    for await (const part of response) {
      const lines = (rest + part).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const { type, object } = JSON.parse(line)
        if (type === 'ERROR') return
        if (type !== 'BOOKMARK') this.#note(type, object)
      }
    }
  }

  #note(type: Seen['type'], object: Json): string {
    const key = `${object.metadata.namespace}/${object.metadata.name}`
    if (type === 'DELETED') this.objects.delete(key)
    else this.objects.set(key, object)
    this.history.push({ at: Date.now(), type, object })
    for (const wake of this.#waiting.splice(0)) wake()
    return key
  }
}
