import { closeSync, constants, existsSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeCommand, NodeOrder } from '../../model/fault-pod.ts'
import { readText } from './host.ts'

/** The order of a pod that was warm, and the folder of its journal on the host. */
export type Given = { order: NodeOrder; journal: string }

/**
 * The pod's shared memory, where an order that came over the stream is kept: it belongs to the sandbox, so that a
 * program or a guard that is started again in place finds it, and ends with the pod. guard.sh reads `claim` and waits
 * at `bell`.
 */
export class WarmPlace {
  readonly #folder: string
  readonly #waitMs: number

  /** `waitMs`: how long the guard is waited for */
  constructor(folder: string, waitMs: number) {
    this.#folder = folder
    this.#waitMs = waitMs
  }

  #file(name: string): string {
    return join(this.#folder, `chaosplane-${name}`)
  }

  #put(name: string, text: string): void {
    const draft = this.#file(`.${name}`)
    writeFileSync(draft, text, { mode: 0o600 })
    renameSync(draft, this.#file(name))
  }

  /** What an earlier program of this pod was told. */
  get given(): Given | null {
    const text = readText(this.#file('order'))
    return text === null ? null : (JSON.parse(text) as Given)
  }

  /** Nothing is done for an order before it is kept. */
  keep(given: Given): void {
    this.#put('order', JSON.stringify(given))
  }

  /** Tells the guard whose journal it looks after; also again, to one that was started again. */
  tellGuard({ order, journal }: Given): void {
    this.#put('claim', `${journal} ${order.attempt}\n`)
    void this.#ring()
  }

  /** Nobody came: the guard is to go, too. */
  async sendGuardHome(): Promise<void> {
    this.#put('claim', 'none 0\n')
    await this.#ring()
  }

  /** Opens the other end of the FIFO at which the guard waits; one that does not wait reads the claim by itself. */
  async #ring(): Promise<void> {
    const end = performance.now() + this.#waitMs
    for (let waitMs = 1; performance.now() < end; waitMs = Math.min(50, waitMs * 1.3)) {
      try {
        closeSync(openSync(this.#file('bell'), constants.O_WRONLY | constants.O_NONBLOCK))
        return
      } catch {
        // not made yet, or nobody waits at it
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }

  /** All is done. Where kubelet starts whatever ends again, the next program has nothing to do. */
  end(): void {
    this.#put('ended', '')
  }

  get hasEnded(): boolean {
    return existsSync(this.#file('ended'))
  }
}

/** Commands from standard input; they wait while nobody hears them. */
export class Inbox {
  readonly #waiting: NodeCommand[] = []
  #on: ((command: NodeCommand) => void) | null = null
  #isOpen = false

  hear(on: (command: NodeCommand) => void): void {
    this.#on = on
    for (const command of this.#waiting.splice(0)) this.#take(command)
    if (this.#isOpen) return
    this.#isOpen = true
    this.#listen()
  }

  /** What comes from now on waits. */
  hold(): void {
    this.#on = null
  }

  #take(command: NodeCommand): void {
    if (this.#on) this.#on(command)
    else this.#waiting.push(command)
  }

  #listen(): void {
    let rest = ''
    process.stdin.setEncoding('utf8')
    process.stdin.on('error', () => {})
    process.stdin.on('data', (text) => {
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const command = parseCommand(line)
        if (command) this.#take(command)
      }
    })
  }
}

function parseCommand(line: string): NodeCommand | null {
  try {
    const command = JSON.parse(line) as NodeCommand
    return typeof command?.do === 'string' ? command : null
  } catch {
    return null
  }
}

/** The order that this program is to work for, kept; null when none comes in time. `idleMs` 0: it waits for ever. */
export function untilOrdered(
  inbox: Inbox,
  place: WarmPlace,
  idleMs: number,
): Promise<Given | null> {
  const { given } = place
  if (given) return Promise.resolve(given)
  return new Promise((resolve) => {
    const limit = idleMs > 0 ? setTimeout(() => resolve(null), idleMs) : undefined
    inbox.hear((command) => {
      if (command.do !== 'order') return
      clearTimeout(limit)
      inbox.hold()
      const told = { order: command.order, journal: command.journal }
      place.keep(told)
      resolve(told)
    })
  })
}
