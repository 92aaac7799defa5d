/** What is measured, in the order of the table. `most` is the budget: a bound on the median, or a factor of the floor. */
const rows = {
  delete: { what: 'pod-delete: accepted → first deletion', unit: 'ms', most: 50 },
  cold: { what: 'pod-cpu-hog, cold: accepted → CPU rises', unit: 'ms', factor: 1.15 },
  warm: { what: 'pod-cpu-hog, warm: accepted → CPU rises (floor: cold)', unit: 'ms', factor: 0.5 },
  probe: { what: 'behind an SOT probe: its answer → CPU rises', unit: 'ms', most: 80 },
  'probe-go': { what: '  of which until the runner says go', unit: 'ms' },
  second: { what: 'second step: CPU of first back → CPU of second rises', unit: 'ms', most: 80 },
  'second-go': { what: '  of which until the runner says go', unit: 'ms' },
  abort: { what: 'abort accepted → CPU back', unit: 'ms', most: 50, p99: 250 },
  verdict: { what: "fault's end (CPU back) → verdict seen", unit: 'ms', most: 300 },
  'kserver-first': { what: 'run started → its first report at kserver', unit: 'ms', most: 100 },
  kserver: { what: 'run finished → completed report (fault pods gone)', unit: 'ms' },
  leader: { what: 'leader killed → another holds the lease', unit: 'ms', most: 2000 },
  'requests-delete': { what: 'API requests of a run, pod-delete', unit: '', most: 15 },
  'requests-cpu': { what: 'API requests of a run, pod-cpu-hog', unit: '', most: 28 },
  idle: { what: 'API requests per second, idle', unit: '/s', most: 1 },
  operator: { what: 'memory (RSS), operator that leads', unit: 'MB', most: 80 },
  standby: { what: 'memory (RSS), operator that waits', unit: 'MB', most: 80 },
  runner: { what: 'memory (RSS), runner', unit: 'MB', most: 80 },
  server: { what: 'memory (RSS), server', unit: 'MB' },
  armed: { what: 'memory (RSS), fault program, armed', unit: 'MB', most: 60 },
  holding: { what: 'memory (RSS), fault program, holding', unit: 'MB', most: 60 },
  'operator-pss': { what: 'memory (PSS), operator that leads', unit: 'MB' },
  'standby-pss': { what: 'memory (PSS), operator that waits', unit: 'MB' },
  'runner-pss': { what: 'memory (PSS), runner', unit: 'MB' },
  'server-pss': { what: 'memory (PSS), server', unit: 'MB' },
  'armed-pss': { what: 'memory (PSS), fault program, armed', unit: 'MB' },
  'holding-pss': { what: 'memory (PSS), fault program, holding', unit: 'MB' },
  'operator-10k': {
    what: '10,000 finished: memory (RSS), leader',
    unit: 'MB',
    most: 200,
    asked: true,
  },
  'operator-10k-peak': { what: '  the most while it started', unit: 'MB', asked: true },
  'standby-10k': {
    what: '10,000 finished: memory (RSS), operator that waits',
    unit: 'MB',
    most: 200,
    asked: true,
  },
  'runner-10k': {
    what: '10,000 finished: memory (RSS), runner',
    unit: 'MB',
    most: 200,
    asked: true,
  },
  'runner-10k-peak': { what: '  the most while it started', unit: 'MB', asked: true },
  aborts: {
    what: 'abort accepted → no stressor left, 100 aborts',
    unit: 'ms',
    most: 50,
    p99: 250,
    asked: true,
  },
  'kill-program': { what: 'program killed → no stressor', unit: 'ms', most: 5000, asked: true },
  'kill-both': { what: 'program and guard killed', unit: 'ms', most: 5000, asked: true },
  'kill-pod': { what: 'fault pod force-deleted', unit: 'ms', most: 5000, asked: true },
  'kill-runner': { what: 'runner killed: deadline → no stressor', unit: 'ms', asked: true },
  'kill-runner-program': {
    what: 'runner and program killed',
    unit: 'ms',
    most: 5000,
    asked: true,
  },
  'kill-runner-pod': {
    what: 'runner killed, fault pod force-deleted',
    unit: 'ms',
    most: 5000,
    asked: true,
  },
  'away-guard': { what: 'guard killed: deadline → no stressor', unit: 'ms', asked: true },
  'away-operator': { what: 'operators killed: the same', unit: 'ms', asked: true },
  'away-control-plane': { what: 'kserver and log-service away', unit: 'ms', asked: true },
  'away-api': { what: 'API server killed', unit: 'ms', most: 2000, asked: true },
  'away-kubelet': { what: 'kubelets killed', unit: 'ms', most: 2000, asked: true },
  'away-containerd': { what: 'containerds killed', unit: 'ms', most: 2000, asked: true },
  image: { what: 'image, layers compressed by gzip', unit: 'MB', most: 100 },
} as const satisfies Record<string, Row>

type Row = {
  what: string
  unit: string
  most?: number
  factor?: number
  p99?: number
  /** measured only where it is asked for by name */
  asked?: boolean
}
/** The name of one line of the table. */
export type Key = keyof typeof rows

type Samples = { ours: number[]; floor: number[] }

/** Middle of a list of numbers. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2
}

/** The value that `percent` of all do not pass; with less than a hundred values the 99th is the greatest. */
export function percentile(values: number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? Number.NaN
}

/** Everything measured in one run. */
export class Sheet {
  readonly #samples = new Map<Key, Samples>()
  readonly notes: string[] = []

  add(key: Key, value: number): void {
    this.#of(key).ours.push(value)
  }

  floor(key: Key, value: number): void {
    this.#of(key).floor.push(value)
  }

  values(key: Key): number[] {
    return this.#of(key).ours
  }

  note(line: string): void {
    if (!this.notes.includes(line)) this.notes.push(line)
  }

  /** Lines of the table that have no value. */
  missing(): string[] {
    return this.#lines().flatMap(({ key, what }) => (this.#of(key).ours.length === 0 ? [what] : []))
  }

  toJSON(): object {
    const lines = this.#lines().map((row) => ({
      ...row,
      ...this.#of(row.key),
      met: this.#met(row),
    }))
    return { lines, notes: this.notes }
  }

  /** The table as text. */
  table(): string {
    const head = ['measured', 'n', 'median (min–max)', 'floor', 'ratio', 'budget', '']
    const cells = this.#lines().map((row) => this.#cells(row))
    const all = [head, ...cells]
    const widths = head.map((_, i) => Math.max(...all.map((line) => line[i]?.length ?? 0)))
    const text = all.map((line) =>
      line.map((cell, i) =>
        i === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[i] ?? 0),
      ),
    )
    return [...text.map((line) => line.join('  ').trimEnd()), ...this.notes].join('\n')
  }

  #cells(row: Row & { key: Key }): string[] {
    const { ours, floor } = this.#of(row.key)
    if (ours.length === 0) return [row.what, '0', 'not measured', '', '', budgetOf(row), '']
    const met = this.#met(row)
    return [
      row.what,
      String(ours.length),
      `${number(median(ours))} (${number(Math.min(...ours))}–${number(Math.max(...ours))}) ${row.unit}`.trimEnd(),
      floor.length > 0 ? `${number(median(floor))} ${row.unit}` : '–',
      floor.length > 0 ? (median(ours) / median(floor)).toFixed(2) : '–',
      budgetOf(row),
      met === undefined ? '' : met ? 'met' : 'short',
    ]
  }

  #met(row: Row & { key: Key }): boolean | undefined {
    const { ours, floor } = this.#of(row.key)
    if (ours.length === 0) return undefined
    if (row.factor !== undefined) return median(ours) <= row.factor * median(floor)
    if (row.most === undefined) return undefined
    return median(ours) <= row.most && (row.p99 === undefined || percentile(ours, 99) <= row.p99)
  }

  #lines(): (Row & { key: Key })[] {
    const all = Object.entries(rows).map(([key, row]): Row & { key: Key } => ({
      key: key as Key,
      ...row,
    }))
    return all.filter(({ key, asked }) => !asked || this.#of(key).ours.length > 0)
  }

  #of(key: Key): Samples {
    const found = this.#samples.get(key) ?? { ours: [], floor: [] }
    this.#samples.set(key, found)
    return found
  }
}

const number = (value: number): string => value.toFixed(value < 10 ? 1 : 0).replace(/\.0$/, '')

function budgetOf({ most, factor, p99, unit }: Row): string {
  if (factor !== undefined) return `≤ ${factor} × floor`
  if (most === undefined) return '–'
  return `≤ ${most}${unit ? ` ${unit}` : ''}${p99 === undefined ? '' : `, p99 ${p99}`}`
}
