import type { Plan } from '../../model/plan.ts'
import { type RunState, recordKey } from '../../model/state.ts'
import type { Fact } from './fact.ts'

export type TaskLine = {
  task: string
  level: 'info' | 'warn' | 'error'
  text: string
  /** the pod that said it, absent: the runner */
  pod?: string
}

type TaskFact = Extract<Fact, { task: string }>
type Say<F> = (fact: F, fault: string) => Omit<TaskLine, 'task'> | null
type Table = { [K in TaskFact['fact']]: Say<Extract<TaskFact, { fact: K }>> }

const info = (text: string) => ({ level: 'info' as const, text })
const error = (text: string) => ({ level: 'error' as const, text })

const stageLines: Record<string, (fault: string) => string> = {
  preparing: (fault) => `[Start]: ${fault} FAULT START`,
  'pre-probes': () => '[Status]: targets are recorded, steady state is verified',
  'ramp-up': () => '[Ramp]: waiting before chaos',
  chaos: (fault) => `[Chaos]: ${fault} begins`,
  reverting: () => '[Chaos]: chaos has ended, proving that everything is as before',
  'ramp-down': () => '[Ramp]: waiting after chaos',
  'post-probes': () => '[Status]: verifying steady state after chaos',
  done: (fault) => `[End]: ${fault} FAULT END`,
}
const quiet = new Set(['ramp-up', 'ramp-down'])

const table: Table = {
  moved: ({ to }, fault) => (quiet.has(to) || !stageLines[to] ? null : info(stageLines[to](fault))),
  prepared: ({ targets }) =>
    targets.length > 0 ? info(`[Target]: ${targets.map((t) => t.id).join(', ')}`) : null,
  'prepare-failed': ({ trouble }) => error(`[Error]: ${trouble.code}: ${trouble.reason}`),
  probed: ({ probe, phase, outcome, detail }) => ({
    level: outcome === 'passed' ? 'info' : outcome === 'failed' ? 'warn' : 'error',
    text: `[Probe]: ${probe} (${phase === 'pre' ? 'before' : phase === 'post' ? 'after' : 'during'} chaos) ${outcome}: ${detail}`,
  }),
  stopped: ({ probe }) => error(`[Stop]: probe ${probe} failed and has stopOnFailure`),
  checked: () => info('[Status]: targets are healthy after chaos'),
  'pod-created': ({ pod }) => info(`[Pod]: fault pod ${pod}`),
  closed: () => info('[Pod]: fault pods are gone'),
  targeted: ({ targets, wave }) =>
    targets.length > 0
      ? info(`[Target]: round ${wave + 1}: ${targets.map((t) => t.id).join(', ')}`)
      : null,
  capped: ({ why }) => ({ level: 'warn', text: `[Target]: ${why}` }),
  joined: ({ targets }) =>
    targets.length > 0
      ? info(
          `[Target]: added: ${targets.map((t) => `${recordKey(t)} for ${(t.holdMs ?? 0) / 1000} s`).join(', ')}`,
        )
      : null,
  gone: ({ target }) => info(`[Target]: ${target} is there no more`),
  planned: () => null,
  'wave-sent': () => null,
  armed: ({ target }) => info(`[Armed]: ${target}`),
  injected: ({ target, evidence }) => info(`[Injected]: ${target}: ${evidence}`),
  'inject-failed': ({ target, trouble }) =>
    error(`[Error]: ${target}: ${trouble.code}: ${trouble.reason}`),
  lost: ({ target, reason }) => error(`[Lost]: ${target}: ${reason}`),
  reverted: ({ target, proof, untouched }) =>
    untouched ? null : info(`[Reverted]: ${target}: ${proof}`),
  'revert-failed': ({ target, trouble, remaining }) =>
    error(`[Owed]: ${target}: ${trouble.reason}; remaining: ${remaining.join(' && ')}`),
  failed: ({ trouble }) => error(`[Error]: ${trouble.code}: ${trouble.reason}`),
  acknowledged: () => null,
  said: ({ level, text, pod }) => ({ level, text, ...(pod ? { pod } : {}) }),
}

/** Targets whose turn never came, told at the end of their task. */
function sparedLines({ task }: TaskFact, { tasks }: RunState): TaskLine[] {
  const targets = tasks.find((t) => t.name === task)?.targets ?? []
  const ids = targets.filter((t) => t.state === 'untouched').map((t) => t.id)
  if (ids.length === 0) return []
  return [{ task, ...info(`[Untouched]: the task ended before the turn of ${ids.join(', ')}`) }]
}

/** What a fact says in the log of its task, or of every task that is under way. */
export function linesOf(fact: Fact, plan: Plan, state: RunState): TaskLine[] {
  if ('task' in fact) {
    const task = plan.tasks.find((t) => t.name === fact.task)
    const line = task && (table[fact.fact] as Say<TaskFact>)(fact, task.faultWritten)
    const pod = fact.fact === 'pod-created' ? undefined : fact.pod
    const own = line ? [{ task: fact.task, ...line, ...(pod ? { pod } : {}) }] : []
    return fact.fact === 'moved' && fact.to === 'done' ? [...sparedLines(fact, state), ...own] : own
  }
  const open = state.tasks.filter((t) => t.startedAt !== undefined && !t.finishedAt)
  if (fact.fact === 'aborted')
    return open.map((t) => ({ task: t.name, level: 'warn', text: `[Abort]: by ${fact.by}` }))
  if (fact.fact === 'abandoned')
    return open.map((t) => ({ task: t.name, ...error(`[Abandoned]: given up: ${fact.reason}`) }))
  if (fact.fact === 'unrecorded')
    return open.map((t) => ({
      task: t.name,
      ...error(`[Error]: the run ends, its record is refused: ${fact.why}`),
    }))
  if (fact.fact === 'edited')
    return open.map((t) => ({ task: t.name, ...error(`[Error]: ${fact.why}`) }))
  if (fact.fact === 'paused')
    return open.map((t) => ({
      task: t.name,
      ...info(
        fact.goesOn.includes(t.name)
          ? `[Pause]: by ${fact.by}; what strikes at once cannot be paused and goes on`
          : `[Pause]: by ${fact.by}`,
      ),
    }))
  if (fact.fact === 'resumed')
    return open.map((t) => ({ task: t.name, ...info(`[Resume]: by ${fact.by}`) }))
  if (fact.fact === 'adopted')
    return open.map((t) => ({
      task: t.name,
      ...info(`[Run]: runner ${fact.runner} carries the run on`),
    }))
  return []
}
