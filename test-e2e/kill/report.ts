import { awayMs } from './death.ts'
import { textsOf } from './judge.ts'
import { notReached, pairs, pointTurns, warmTurns } from './table.ts'
import type { Result } from './turn.ts'

/** One line of the table. */
export type Row = {
  victims: string
  cases: number
  survived: number
  /** the longest from what starts the clock to clean, milliseconds */
  worst: Partial<Record<'kill' | 'deadline' | 'controller', number>>
}
/** What is told of a run beside its table. */
export type Whole = {
  seconds: number
  all: number
  /** turns that were tried a second time, with what was wrong at first */
  again: readonly string[]
  /** faults that this kernel cannot do */
  leftOut: readonly string[]
}

/** A line for each set of victims, in the order in which they died. */
export function rowsOf(results: readonly Result[]): Row[] {
  const groups = Map.groupBy(results, ({ one }) => one.victims.join(' and '))
  return [...groups].map(([victims, group]) => {
    const worst: Row['worst'] = {}
    for (const { judged } of group)
      if (judged.clock && judged.ms !== undefined)
        worst[judged.clock] = Math.max(worst[judged.clock] ?? 0, judged.ms)
    const survived = group.filter(({ judged }) => judged.wrong.length === 0).length
    return { victims, cases: group.length, survived, worst }
  })
}

const ms = (value: number | undefined): string => (value === undefined ? '–' : `${value} ms`)
const heads = ['Killed', 'Cases', 'Survived', 'Kill → clean', 'Deadline → clean', 'Back → clean']

/** The table as text that is also a page. */
export function tableOf(rows: readonly Row[]): string {
  const total = (key: 'cases' | 'survived') => rows.reduce((sum, row) => sum + row[key], 0)
  const cells = rows.map(({ victims, cases, survived, worst }) => [
    victims,
    String(cases),
    String(survived),
    ms(worst.kill),
    ms(worst.deadline),
    ms(worst.controller),
  ])
  const sum = ['all', String(total('cases')), String(total('survived')), '', '', '']
  return [heads, heads.map(() => '---'), ...cells, sum]
    .map((line) => `| ${line.join(' | ')} |`)
    .join('\n')
}

/** Cases that did not survive, one line each. */
const failuresOf = (results: readonly Result[]): string[] =>
  results.flatMap(({ one, judged }) =>
    judged.wrong.length === 0
      ? []
      : [
          `* ${one.victims.join(' and ')}; ${one.fault}, ${one.moment}: ${textsOf(judged).join('; ')}`,
        ],
  )

/** What the table does not show, and what is to be known. */
function beside(): string {
  const points = pointTurns().length + warmTurns().length
  const left = Object.entries(notReached).map(([point, why]) => `\`${point}\` (${why})`)
  return `Beside the matrix the runner ends itself at each of its crash points in ${points} runs (\`points.kill.test.ts\`), all but ${left.join(', ')}; they fail the command like a case of the table. The operator ends itself at each of its own in an ordinary test, without a cluster (\`operator/points.api.test.ts\`). What is to be known: a runner that dies between the stored plan and the stored effect of a fault through the API leaves no time to count from but that of the plan, so its record may say some seconds more than the target was held. A program whose guard dies as it comes, and is not brought back by any runtime, ends its hold after 10 s, and the run is an Error that says so.`
}

/** The page of one run. */
export function pageOf(results: readonly Result[], whole: Whole): string {
  const { seconds, all, again, leftOut } = whole
  const failures = failuresOf(results).map((line) => line.slice(0, 400))
  const paired = results.filter(({ one }) => one.victims.length === 2).length
  return [
    '# The kill matrix',
    'Every fault is brought to each moment of its life (armed, planned, journalled, half injected over two targets, injected, reverting, reverted), and held there while its victims die.',
    `Programs get a SIGKILL; a fault pod is deleted by force; the control plane, which is kserver and log-service as the tests stand in for them, does not die but answers nobody for ${awayMs / 1000} s. So long API server, kubelet and containerd stay away, too. Each victim alone meets every fault that it can hit, at every moment. Each of the ${pairs.length} pairs meets every moment, on the node and, where both of it can hit such a fault, through the API; the faults take turns there, so that not every fault meets every pair at every moment.${leftOut.length > 0 ? ` Left out, as the kernel of this machine cannot do it: ${leftOut.map((fault) => (fault === 'pod-network-latency' ? `${fault}, which needs netem` : fault)).join(', ')}.` : ''}`,
    "Then everything is looked at from outside: processes in the target's cgroup, nftables and qdiscs of its network, all taints of its node but the cluster's own, cordons, what is asked for of its workload, NetworkPolicies. `npm run test:kill` does it and writes this page; it fails when a target is not as before in time, was hit twice, one after the other or at once, when a run has no verdict or two, says what did not happen, or leaves a pod, a journal, a finalizer or a process.",
    'The columns are the longest times until all was as before: after the kill, where it ends the hold (5 s are allowed); after the end of the hold, where it goes on or nobody could end it (2 s on the node, 5 s for what is done through the API); after API server and runner are back, where the hold had ended before (5 s).',
    `${results.length} of ${all} cases were run in ${Math.round(seconds / 60)} minutes, ${paired} of them with pairs.${again.length > 0 ? ` Tried a second time, which is what counts here: ${again.join('; ')}. A second try makes up for what was late; whatever else was wrong at the first one fails the run.` : ''}`,
    tableOf(rowsOf(results)),
    ...(failures.length > 0 ? ['Not survived:', failures.join('\n')] : []),
    beside(),
    '',
  ].join('\n\n')
}
