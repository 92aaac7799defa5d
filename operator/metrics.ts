import { whyUnreadable } from '../model/read-run.ts'
import { openStates } from '../model/state.ts'
import type { Experiment } from './experiment/observe.ts'

/** Figures of the leader for /metrics. */
export class Figures {
  /** recovery pods that were made while we lead, by who made them */
  readonly recoveries = { operator: 0, runner: 0 }
  leading = false
  /** pods of ours that the cache has not shown yet */
  readonly #ours = new Set<string>()

  /** A recovery pod of our own. */
  making(name: string): void {
    this.#ours.add(name)
    this.recoveries.operator++
  }

  /** A recovery pod shows, whoever made it. */
  made(name: string): void {
    if (!this.#ours.delete(name)) this.recoveries.runner++
  }
}

type Line = { labels?: Record<string, string>; value: number }
type Family = { name: string; type: 'gauge' | 'counter'; help: string; lines: Line[] }

/** All metrics in the text format of Prometheus. Only the leader speaks of runs: two replicas would count them twice. */
export function metricsText(figures: Figures, experiments: readonly Experiment[]): string {
  const families: Family[] = [
    {
      name: 'chaosplane_operator_leading',
      type: 'gauge',
      help: '1 while this replica leads.',
      lines: [{ value: figures.leading ? 1 : 0 }],
    },
    {
      name: 'chaosplane_recovery_pods_total',
      type: 'counter',
      help: 'Fault pods that took the place of a lost one, by who made them, since this replica started.',
      lines: Object.entries(figures.recoveries).map(([by, value]) => ({ labels: { by }, value })),
    },
    ...(figures.leading ? ofRuns(experiments) : []),
  ]
  return families.map(familyText).join('')
}

function ofRuns(experiments: readonly Experiment[]): Family[] {
  const counts = new Map(openStates.map((state) => [state, 0]))
  // of what is over the cache keeps no tasks
  const told = experiments.flatMap(({ status }) => (status?.run?.tasks?.length ? [status.run] : []))
  const tasks = told.filter((run) => whyUnreadable(run) === null).flatMap((run) => run.tasks)
  for (const { state } of tasks.flatMap(({ targets }) => targets))
    if (counts.has(state)) counts.set(state, (counts.get(state) ?? 0) + 1)
  const isStuck = ({ status }: Experiment): boolean =>
    status?.conditions?.some((c) => c.type === 'Stuck' && c.status === 'True') ?? false
  return [
    {
      name: 'chaosplane_open_records',
      type: 'gauge',
      help: 'Targets that are not proven to be as before, by state.',
      lines: [...counts].map(([state, value]) => ({ labels: { state }, value })),
    },
    {
      name: 'chaosplane_stuck_runs',
      type: 'gauge',
      help: 'Runs with the condition Stuck.',
      lines: [{ value: experiments.filter(isStuck).length }],
    },
  ]
}

function familyText({ name, type, help, lines }: Family): string {
  const head = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
  return head + lines.map(({ labels, value }) => `${name}${labelsText(labels)} ${value}\n`).join('')
}

/** The values are words of our own: nothing in them needs escaping. */
function labelsText(labels: Record<string, string> | undefined): string {
  if (!labels) return ''
  return `{${Object.entries(labels)
    .map(([key, value]) => `${key}="${value}"`)
    .join(',')}}`
}
