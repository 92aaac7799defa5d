import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/** A program that is started again in place whenever it was killed, as kubelet does. */
export class Kept {
  readonly #entry: string
  readonly #env: Record<string, string>
  #child: ChildProcess | undefined
  #keeping: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(entry: string, env: Record<string, string>) {
    this.#entry = entry
    this.#env = env
  }

  start(): void {
    this.#isOver = false
    this.#keeping = this.#keep()
  }

  /** One life, until it is killed; after `limitMs` it is killed from here. */
  async life(limitMs?: number): Promise<void> {
    const child = spawn(process.execPath, [this.#entry], {
      env: { PATH: process.env['PATH'] ?? '', ...this.#env },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    this.#child = child
    const limit = limitMs && setTimeout(() => child.kill('SIGKILL'), limitMs)
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
    clearTimeout(limit)
    if (signal !== 'SIGKILL' && !this.#isOver)
      throw new Error(`it ended by itself: ${code} ${signal}`)
  }

  async #keep(): Promise<void> {
    while (!this.#isOver) await this.life()
  }

  /** For good, or until `start`. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGTERM'): Promise<void> {
    this.#isOver = true
    this.#child?.kill(signal)
    await this.#keeping
  }
}
