import type { Seen } from './view/model.ts'
import { duration, type Line } from './view/text.ts'

/** What was found on the cluster after the run, looked at from outside. */
export type Found = {
  finalizers: string[]
  /** fault and probe pods of the run that still exist */
  pods: string[]
  deployments: { complete: boolean; text: string }[]
  /** time from the end of the run until nothing was left of it; null: something is */
  recoveredMs: number | null
  load: LoadDifference | null
}

/** Sums of the load as its log says them. */
export type LoadSums = { at: number; sent: number; ok: number; failed: number; skipped: number }
export type LoadDifference = { sent: number; failed: number }

/** The newest sums in a log; null when there are none. */
export function lastSums(log: string): LoadSums | null {
  for (const line of log.trimEnd().split('\n').toReversed()) {
    try {
      const { at, sent, ok, failed, skipped } = JSON.parse(line) as Partial<LoadSums>
      if (typeof sent === 'number' && typeof failed === 'number')
        return { at: at ?? 0, sent, ok: ok ?? 0, failed, skipped: skipped ?? 0 }
    } catch {
      // a line of the runtime, or half a line
    }
  }
  return null
}

/** What the load saw between two moments; null when it was restarted in between. */
export function loadBetween(
  before: LoadSums | null,
  after: LoadSums | null,
): LoadDifference | null {
  if (!before || !after || after.sent < before.sent) return null
  return { sent: after.sent - before.sent, failed: after.failed - before.failed }
}

/** Verdict, score, tasks, and what was put back, as text that stays. */
export function outcomeLines(seen: Seen, found: Found): Line[] {
  const { verdict, score, phase } = seen
  const passed = verdict === 'Pass'
  return [
    [['', 'plain']],
    [
      [`Verdict ${verdict || phase}`, passed ? 'good' : 'bad'],
      [score === null ? '' : `, resilience score ${score}`, passed ? 'good' : 'bad'],
    ],
    ...Object.entries(seen.verdicts).map(
      ([name, each]): Line => [
        [`  ${name}  `, 'plain'],
        [each || 'not begun', each === 'Pass' ? 'good' : 'bad'],
      ],
    ),
    [['', 'plain']],
    [['Put back', 'strong']],
    ...restoredLines(seen, found),
  ]
}

/** Not as it was. */
const leftStates = new Set(['owed', 'abandoned', 'injected'])

function restoredLines(seen: Seen, found: Found): Line[] {
  const targets = (seen.run?.tasks ?? []).flatMap((task) => task.targets)
  const touched = targets.filter((t) => t.state !== 'untouched')
  const back = targets.filter((t) => t.state === 'reverted')
  const open = targets.filter(({ state }) => leftStates.has(state))
  return [
    mark(open.length === 0, `${back.length} of ${touched.length} targets proven to be as before`),
    ...open.map(
      (t): Line => [[`    ${t.id} is ${t.state}: ${(t.remaining ?? []).join('; ')}`, 'bad']],
    ),
    ...found.deployments.map(({ complete, text }) => mark(complete, `${text} available`)),
    mark(found.pods.length === 0, `fault pods left: ${found.pods.join(', ') || 'none'}`),
    mark(
      found.finalizers.length === 0,
      `finalizers left: ${found.finalizers.join(', ') || 'none'}`,
    ),
    ...(found.recoveredMs === null
      ? []
      : [mark(true, `all of it within ${duration(found.recoveredMs)} after the verdict`)]),
    ...(found.load ? [loadLine(found.load)] : []),
  ]
}

const mark = (good: boolean, text: string): Line => [
  [good ? '  ✓ ' : '  ✗ ', good ? 'good' : 'bad'],
  [text, 'plain'],
]

const loadLine = ({ sent, failed }: LoadDifference): Line => [
  ['    ', 'plain'],
  [`the load sent ${sent} requests meanwhile, ${failed} of them failed`, 'dim'],
]

/** Nothing of the run is there any more, and the demo is complete. */
export function isAsBefore(found: Pick<Found, 'finalizers' | 'pods' | 'deployments'>): boolean {
  const complete = found.deployments.length > 0 && found.deployments.every((d) => d.complete)
  return complete && found.pods.length === 0 && found.finalizers.length === 0
}

/** The same, and every target is proven to be as before. */
export function isRestored(seen: Seen, found: Found): boolean {
  const targets = (seen.run?.tasks ?? []).flatMap((task) => task.targets)
  return isAsBefore(found) && targets.every(({ state }) => !leftStates.has(state))
}

/** 0 Pass, 1 Fail, 2 anything else; a Pass with something left behind is none. */
export function exitCodeOf(seen: Seen, found: Found): 0 | 1 | 2 {
  if (!isRestored(seen, found)) return 2
  if (seen.verdict === 'Pass') return 0
  return seen.verdict === 'Fail' ? 1 : 2
}

/** Where to look further. `kubectl` is the whole beginning of a command. */
export function resultLines(seen: Seen, kubectl: string): Line[] {
  const of = `-n ${seen.namespace} kuberneteschaosexperiment ${seen.name}`
  const product = '-n chaosplane-system'
  const key = `$(${kubectl} ${product} get secret chaosplane-harness -o 'jsonpath={.data.ACCESS_KEY}' | base64 -d)`
  const ask = (path: string) =>
    `    curl -sH "X-Access-Key: $KEY" 'http://127.0.0.1:8080/api/${path}'`
  const [first] = seen.run?.tasks ?? []
  return [
    '',
    'Results',
    `    ${kubectl} get ${of} -o yaml`,
    `    ${kubectl} describe ${of}`,
    '  run record and log, as JSON:',
    `    ${kubectl} ${product} port-forward svc/chaosplane-server 8080 &`,
    `    KEY=${key}`,
    ask(`runs/${seen.run?.runId ?? ''}`),
    ...(first ? [ask(`logs?key=${seen.run?.runId}-${first.name}`)] : []),
  ].map((text): Line => [[text, text.startsWith(' ') || text === '' ? 'dim' : 'strong']])
}
