import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

type Order = { host?: string; port?: number; ms?: number; id?: string }

/** How long an answer is waited for before it counts as silence, milliseconds. */
const patience = 700

/** Somebody in a network namespace, known by a process in it, who listens and calls; closed by `end`. */
export class Caller {
  readonly #child: ChildProcess
  readonly #answers = new Map<number, (said: string) => void>()
  #n = 0
  readonly ready: Promise<string>

  constructor(pid: number) {
    const program = join(import.meta.dirname, 'caller-program.ts')
    this.#child = spawn('nsenter', [`--net=/proc/${pid}/ns/net`, process.execPath, program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.ready = new Promise((resolve) => this.#answers.set(0, resolve))
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { n, said } = JSON.parse(line) as { n: number; said: string }
      this.#answers.get(n)?.(said)
      this.#answers.delete(n)
    })
  }

  async #tell(verb: string, order: Order): Promise<string> {
    await this.ready
    const n = ++this.#n
    return new Promise((resolve) => {
      this.#answers.set(n, resolve)
      this.#child.stdin?.write(`${JSON.stringify({ n, do: verb, ms: patience, ...order })}\n`)
    })
  }

  /** Answers on this port from now on, TCP and UDP, with what it hears. */
  listen = (port: number): Promise<string> => this.#tell('listen', { port })
  /** Opens a connection under a name: `connected`, `silent`, or the error's code. */
  open = (host: string, port: number, id = `${host} ${port}`): Promise<string> =>
    this.#tell('open', { host, port, id })
  /** Speaks on a connection: `answered` or `silent`. */
  say = (id: string): Promise<string> => this.#tell('say', { id })
  /** Sends a datagram: `answered`, `silent`, or the error's code. */
  ask = (host: string, port: number): Promise<string> => this.#tell('ask', { host, port })
  /** How long a datagram and its answer took, milliseconds; NaN when none came. */
  trip = async (host: string, port: number): Promise<number> =>
    Number(await this.#tell('trip', { host, port, ms: 8000 }))

  end(): void {
    this.#child.kill('SIGKILL')
  }
}
