import { executionDataOf } from '../../model/execution-data.ts'
import type { Plan } from '../../model/plan.ts'
import type { RunState, TaskState } from '../../model/state.ts'
import { encodeTaskResponse, type Scope, streamId } from '../../model/wire/kserver.ts'
import type { Fact } from '../engine/fact.ts'
import { linesOf } from '../engine/log-lines.ts'
import type { LogStreams } from '../logs/streams.ts'
import type { Reporter } from '../report/outbox.ts'

export type Peers = {
  reporter: Reporter | null
  logs: LogStreams
  infraId: string
  scope: Scope
  /** pod and namespace of the runner, for log lines that it says itself */
  self: { PodName: string; PodNamespace: string }
}

/** Positions are given out in blocks that are on record before they are used up: who takes over starts above. */
const block = 1000

/** Tells the peers what the facts of one run mean: executionData to kserver, lines to the log-service. */
export class Projections {
  /** of all lives of all runs here: a run that comes back to this runner goes on above what it has offered */
  static #offered = 0
  #peers: Peers
  #plan: Plan
  #last = ''
  #created: boolean
  /** the last report was given out: nothing may follow it */
  #completed = false
  #open = new Set<string>()
  #closed = new Set<string>()
  #reserved = new Map<string, number>()
  #podArgs = new Map<string, { PodName: string; PodNamespace: string }>()

  constructor(peers: Peers, plan: Plan, adopted: boolean) {
    this.#peers = peers
    this.#plan = plan
    this.#created = adopted
  }

  /** Takes a fact and the state after it. Never waits, never throws. */
  tell(state: RunState, fact: Fact): void {
    this.#report(state)
    for (const line of linesOf(fact, this.#plan, state)) {
      const key = streamId(state.runId, line.task)
      if (this.#closed.has(key)) continue
      this.#openLog(key, state, line.task)
      this.#peers.logs.write(key, {
        level: line.level,
        out: line.text,
        time: fact.at,
        args: line.pod ? this.#argsOf(line.pod) : this.#peers.self,
      })
    }
    if ('task' in fact) this.#closeIfOver(state, fact.task)
  }

  /** The state as it is to be stored: with the log positions that are reserved for this runner. */
  reserve(state: RunState): RunState {
    return { ...state, tasks: state.tasks.map((t) => this.#reserveTask(state.runId, t)) }
  }

  #reserveTask(run: string, task: TaskState): TaskState {
    const key = streamId(run, task.name)
    if (!this.#open.has(key)) return task
    const used = this.#peers.logs.position(key)
    const reserved = this.#reserved.get(key) ?? task.streamPosition
    const next = used + block / 2 > reserved ? Math.max(used, reserved) + block : reserved
    this.#reserved.set(key, next)
    return { ...task, streamPosition: next }
  }

  #report(state: RunState): void {
    const { reporter, infraId, scope } = this.#peers
    if (!reporter) return
    const create = !this.#created
    const data = executionDataOf(this.#plan, state, create ? 'CREATE' : 'UPDATE')
    // The verdict stands: kserver hears that at once, not only when the last fault pod has gone.
    const completed = state.finishedAt !== undefined
    if (this.#completed) return
    this.#completed = completed
    const text = `${completed}${JSON.stringify(data)}`
    if (text === this.#last) return
    this.#last = text
    this.#created = true
    const ids = {
      infraId,
      notifyId: state.notifyId,
      updatedBy: '',
      experimentId: this.#plan.experimentId,
      experimentName: this.#plan.name,
      runId: state.runId,
    }
    const body = encodeTaskResponse(ids, data, completed)
    Projections.#offered++
    reporter.offer({
      run: state.runId,
      infra: infraId,
      scope,
      seq: Projections.#offered,
      create,
      completed,
      body,
    })
  }

  #openLog(key: string, state: RunState, task: string): void {
    if (this.#open.has(key)) return
    this.#open.add(key)
    const from = (state.tasks.find((t) => t.name === task)?.streamPosition ?? 0) + 1
    this.#peers.logs.open(key, { from })
  }

  #closeIfOver(state: RunState, name: string): void {
    const task = state.tasks.find((t) => t.name === name)
    const over = task?.stage === 'done' && (task.closed || task.pods.length === 0)
    const key = streamId(state.runId, name)
    if (!over || this.#closed.has(key) || !this.#open.has(key)) return
    this.#closed.add(key)
    // Delivery goes on in the background however long it takes; nobody waits for it here.
    void this.#peers.logs.close(key, AbortSignal.timeout(1)).catch(() => false)
  }

  #argsOf(pod: string): { PodName: string; PodNamespace: string } {
    const known = this.#podArgs.get(pod)
    if (known) return known
    const args = { PodName: pod, PodNamespace: this.#peers.self.PodNamespace }
    this.#podArgs.set(pod, args)
    return args
  }
}
