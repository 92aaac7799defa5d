import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'

/**
 * Stands where kserver and the log-service stand and writes down the raw bytes that arrive. Shares no code with the
 * control plane: what it stores is the evidence against which the product is judged.
 */
export type Mode =
  /** answer as the published interfaces do */
  | { mode: 'ok' }
  /** take the request and never answer */
  | { mode: 'hang' }
  /** answer with a status, for example 500, or 429 with `retryAfter` seconds */
  | { mode: 'status'; status: number; retryAfter?: number; body?: string }
  /** begin an answer and cut the connection */
  | { mode: 'cut' }
  /** close the port: connections are refused */
  | { mode: 'closed' }

/** Posted to `/__control`. */
export type Control = Mode & {
  /** only paths that contain this; not for `closed` */
  match?: string
  /** back to what it was before after this many milliseconds; needed for `closed` */
  forMs?: number
}
/** Posted to `/__answer`: what a GET whose path contains `match` is answered with. */
export type Answer = { match: string; status: number; body: string }

export type Recorded = {
  n: number
  /** unix milliseconds of the first byte and of the last */
  at: number
  end: number
  method: string
  url: string
  headers: [string, string][]
  /** the raw body is in `<n>.body` */
  bytes: number
  /** how it was answered: a status, or the failure that was played */
  answered: string
}

type Rule = { control: Control; until: number }

const pairs = (raw: string[]): [string, string][] =>
  Array.from({ length: raw.length / 2 }, (_none, i) => [raw[2 * i] ?? '', raw[2 * i + 1] ?? ''])

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part)
  return Buffer.concat(parts)
}

function reply(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'Content-Type': 'application/json' })
  response.end(body)
}

/** The published answer of the report call: plain text with both ids. */
function reportReply(body: Buffer): string {
  const { args, taskType } = JSON.parse(body.toString('utf8'))
  return `Received task callback for taskType: ${taskType}, response: Workflow run received for for WorkflowID: ${args.workflowID}, WorkflowRunID: ${args.workflowRunID}`
}

/** A recorder in this process; `main.ts` runs it as a program. */
export class Recorder {
  readonly #dir: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #rules: Rule[] = []
  readonly #answers: Answer[] = []
  readonly #requests: Recorded[] = []
  readonly #timers = new Set<NodeJS.Timeout>()
  #host = '127.0.0.1'
  #port = 0
  #n = 0

  constructor(dir: string) {
    this.#dir = dir
    mkdirSync(dir, { recursive: true })
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy())
    })
    this.#server.keepAliveTimeout = 30_000
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** Listens; port 0 takes a free one. Returns the port. */
  async listen(port: number, host = '127.0.0.1'): Promise<number> {
    this.#host = host
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, resolve)
    })
    this.#port = (this.#server.address() as AddressInfo).port
    return this.#port
  }

  get url(): string {
    return `http://${this.#host}:${this.#port}`
  }

  /** All requests so far, without those to the recorder itself. */
  requests(pathPart = ''): Recorded[] {
    return this.#requests.filter(({ url }) => url.includes(pathPart))
  }

  body(n: number): Buffer {
    return readFileSync(join(this.#dir, `${n}.body`))
  }

  answer(answer: Answer): void {
    this.#answers.unshift(answer)
  }

  /** Changes the behaviour; `ok` without `match` ends every rule. */
  control(control: Control): void {
    if (control.mode === 'ok' && !control.match) this.#rules.length = 0
    const rule = { control, until: control.forMs ? Date.now() + control.forMs : Infinity }
    this.#rules.unshift(rule)
    if (control.mode === 'closed') this.#close()
    if (control.mode === 'closed' && control.forMs) {
      const timer = setTimeout(() => void this.reopen(), control.forMs)
      this.#timers.add(timer)
    }
  }

  /** Opens the port again after `closed`. */
  async reopen(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.#rules.length = 0
    if (!this.#server.listening) await this.listen(this.#port, this.#host)
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #ruleFor(path: string): Control {
    const now = Date.now()
    const rule = this.#rules.find(
      ({ control, until }) => until > now && path.includes(control.match ?? ''),
    )
    return rule?.control ?? { mode: 'ok' }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const at = Date.now()
    const url = request.url ?? ''
    const body = await bodyOf(request)
    if (url.startsWith('/__')) return this.#steer(url, body, response)
    const control = this.#ruleFor(url)
    const method = request.method ?? ''
    const n = ++this.#n
    const answered = control.mode === 'ok' ? this.#ok(method, url, body) : control.mode
    const recorded: Recorded = {
      n,
      at,
      end: Date.now(),
      method,
      url,
      headers: pairs(request.rawHeaders),
      bytes: body.length,
      answered:
        typeof answered === 'string'
          ? control.mode === 'status'
            ? String(control.status)
            : answered
          : String(answered.status),
    }
    writeFileSync(join(this.#dir, `${n}.body`), body)
    appendFileSync(join(this.#dir, 'requests.jsonl'), `${JSON.stringify(recorded)}\n`)
    this.#requests.push(recorded)
    if (typeof answered !== 'string') reply(response, answered.status, answered.body)
    else this.#fail(control, response)
  }

  #ok(method: string, url: string, body: Buffer): { status: number; body: string } {
    const told = this.#answers.find(({ match }) => method === 'GET' && url.includes(match))
    if (told) return told
    if (url.includes('/task/response/')) return { status: 200, body: reportReply(body) }
    if (url.includes('/task/experimentrun/'))
      return { status: 404, body: '{"message":"unknown run"}' }
    return { status: 200, body: '' }
  }

  #fail(control: Control, response: ServerResponse): void {
    if (control.mode === 'status') {
      if (control.retryAfter !== undefined)
        response.setHeader('Retry-After', String(control.retryAfter))
      reply(response, control.status, control.body ?? '')
    }
    if (control.mode === 'cut') {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' })
      response.write('{"cut')
      setImmediate(() => response.destroy())
    }
    // hang: the connection stays open without an answer
  }

  #steer(url: string, body: Buffer, response: ServerResponse): void {
    const [path = '', query = ''] = url.split('?')
    const stored = /^\/__requests\/(\d+)\/body$/.exec(path)
    if (path === '/__control' || path === '/__answer') {
      const order = JSON.parse(body.toString('utf8'))
      const stuck = order.mode === 'closed' && !order.forMs
      const steer = (): void => (path === '/__answer' ? this.answer(order) : this.control(order))
      // the answer leaves before the port is closed; everything else holds from the answer on
      if (order.mode === 'closed' && !stuck) response.once('close', steer)
      else if (!stuck) steer()
      const hint = '{"message":"closed needs forMs: nobody could open it again"}'
      response.setHeader('Connection', 'close')
      reply(response, stuck ? 400 : 200, stuck ? hint : '{}')
    } else if (path === '/__requests') {
      const after = Number(new URLSearchParams(query).get('after') ?? 0)
      reply(response, 200, JSON.stringify(this.#requests.filter(({ n }) => n > after)))
    } else if (stored) {
      response.writeHead(200, { 'Content-Type': 'application/octet-stream' })
      response.end(this.body(Number(stored[1])))
    } else reply(response, path === '/__healthz' ? 200 : 404, '{}')
  }
}
