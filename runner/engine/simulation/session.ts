import type { TaskState } from '../../../model/state.ts'
import { isEnded, recordKey } from '../../../model/state.ts'
import type { FactBody } from '../fact.ts'
import { isLeaving } from '../view.ts'
import type { Program } from './program.ts'
import type { Turns } from './turns.ts'

/** A fault pod that vanished with its targets still open is replaced so often, as in runner/hands. */
const attempts = 5

export type SessionSettings = {
  program: Program
  node: string
  task(): TaskState
  start: 'now' | 'wait'
  /** the run is paused */
  resting(): boolean
  emit(fact: FactBody): void
  durable(): Promise<void>
  turns: Turns
  /** of the runner's life */
  signal: AbortSignal
}

/** How a runner looks after the fault pod of one task on one node: the shape of runner/hands/node-session.ts. */
export class Session {
  readonly #s: SessionSettings
  #running: Promise<void> | null = null
  #attached = false
  #streams = 0
  #adopted = false
  #heard = 0
  #stopping = false
  #over = false
  #next = 1
  #armed = new Set<string>()

  constructor(settings: SessionSettings) {
    this.#s = settings
  }

  get node(): string {
    return this.#s.node
  }

  begin(): void {
    this.#running ??= this.#run().then(
      () => {
        this.#running = null
      },
      () => {},
    )
  }

  isArmed(): boolean {
    return (
      this.#s.start === 'now' ||
      // The program has told the runner before us.
      (this.#attached && this.#adopted) ||
      this.#mine().every((t) => t.round || this.#armed.has(t.id) || t.state !== 'targeted')
    )
  }

  /** What was sent by the record and is not known to be injected. */
  pushGo(): void {
    if (!this.#attached || this.#s.resting()) return
    const targets = this.#sent(true)
    if (targets.length > 0) this.#s.program.command({ do: 'go', targets })
    void this.#sayJoined().catch(() => {})
  }

  #sent(first: boolean): string[] {
    const { wave } = this.#s.task()
    return this.#mine()
      .filter((t) => t.state === 'targeted' && !t.suspended && t.wave < wave)
      .filter((t) => (t.holdMs === undefined) === first)
      .map(recordKey)
  }

  /** Not before they are on record. */
  async #sayJoined(): Promise<void> {
    if (this.#sent(false).length === 0) return
    await this.#s.durable()
    if (!this.#attached || this.#s.resting()) return
    const targets = this.#sent(false)
    if (targets.length > 0) this.#s.program.command({ do: 'join', targets })
  }

  suspend(): void {
    const targets = this.#mine().filter(isLeaving).map(recordKey)
    if (this.#attached && targets.length > 0) this.#s.program.command({ do: 'stop', targets })
  }

  stop(): void {
    this.#stopping = true
    if (!this.#attached) return
    this.#s.program.command({ do: 'stop' })
    const joined = this.#mine().filter((t) => !isEnded(t) && t.holdMs !== undefined)
    if (joined.length > 0) this.#s.program.command({ do: 'stop', targets: joined.map(recordKey) })
  }

  async close(stored: () => Promise<void>): Promise<void> {
    const { program, turns, signal, node, task } = this.#s
    if (program.pod && task().pods.includes(program.pod.name)) {
      this.begin()
      const reached = () => this.#attached || !program.pod
      await turns.take(`reach the pod on ${node}`, signal, reached)
      if (this.#attached) await stored()
      if (this.#attached) {
        const stream = this.#streams
        const ended = () => !this.#attached || this.#streams !== stream || !program.alive
        program.command({ do: 'quit' })
        await turns.take(`see the end on ${node}`, signal, ended)
      }
      program.remove()
    }
    this.#over = true
  }

  #mine() {
    return this.#s.task().targets.filter((t) => t.node === this.#s.node)
  }

  async #run(): Promise<void> {
    const { task, emit, durable, program, turns, signal, node, start } = this.#s
    const nameOf = (attempt: number) => `${task().name}-${node}-${attempt}`
    const names = Array.from({ length: 50 }, (_, i) => i + 1)
    const newest = names.findLast((n) => task().pods.includes(nameOf(n))) ?? 1
    const first = Math.max(this.#next, newest)
    for (let attempt = first; attempt < first + attempts && !this.#over; attempt++) {
      this.#next = attempt + 1
      const name = nameOf(attempt)
      this.#adopted = task().pods.includes(name)
      if (!this.#adopted || program.pod?.name !== name) {
        emit({ fact: 'pod-created', task: task().name, pod: name })
        await durable()
        await turns.take(`create ${name}`, signal)
        program.create(name, attempt === 1 && !this.#s.resting() ? start : 'wait')
      }
      await this.#serve(name)
      const open = this.#mine().some((t) => !isEnded(t))
      if (!open && task().chaosAt !== undefined) return
    }
    if (this.#over) return
    for (const t of this.#mine().filter((one) => !isEnded(one)))
      emit({
        fact: 'revert-failed',
        task: task().name,
        target: recordKey(t),
        remaining: ['by hand'],
        trouble: { code: 'HELPER_ERROR', reason: 'too many fault pods have gone' },
      })
  }

  async #serve(name: string): Promise<void> {
    const { program, turns, signal, node } = this.#s
    const here = () => program.pod?.name === name
    while (here() && !this.#over) {
      await turns.take(`attach to ${name}`, signal, () => program.alive || !here())
      if (!here()) return
      this.#hello()
      const { lives } = program
      const broken = () => !program.alive || program.lives !== lives || !here()
      while (!broken() && this.#attached) {
        const news = () => broken() || program.events.length > this.#heard
        await turns.take(`hear from ${node}`, signal, news)
        if (!broken()) this.#hear()
      }
      this.#attached = false
    }
  }

  /** Everything after what is acknowledged is told again. */
  #hello(): void {
    this.#attached = true
    this.#streams++
    this.#heard = this.#s.task().acknowledged[this.#s.node] ?? 0
    if (this.#stopping) this.stop()
    else {
      this.suspend()
      this.pushGo()
    }
  }

  #hear(): void {
    const { program, emit, task, node } = this.#s
    const fact = program.events[this.#heard]
    if (!fact) return
    this.#heard++
    if (fact.fact === 'armed') this.#armed.add(fact.target)
    emit(fact)
    emit({ fact: 'acknowledged', task: task().name, node, seq: this.#heard })
  }

  /** The stream breaks, and the program tells some of it again. */
  repeat(): void {
    this.#heard = Math.max(0, this.#heard - 2)
  }
}
