import { BadTunable, type FaultDefinition, type Tunables } from '../fault.ts'
import type { TaskPlan } from '../plan.ts'
import { nearest } from '../suggest.ts'
import { duration, textOf, wholeNumber, yesOrNo } from '../tunable.ts'
import { isBlank, refuseBlank } from './names.ts'
import { type At, refuseValueFrom } from './probe-inputs.ts'
import { isObject, type Json, type Problems, saysNothing, unknownKeys } from './problems.ts'

/** Tunables that every fault of a KubernetesChaosExperiment has. */
export const commonTunables = [
  {
    name: 'TOTAL_CHAOS_DURATION',
    default: 'per fault',
    text: 'How long the fault lasts, seconds.',
  },
  { name: 'RAMP_TIME', default: '0', text: 'Seconds waited before and again after the fault.' },
  {
    name: 'SEQUENCE',
    default: 'parallel',
    text: 'parallel: all targets at once; serial: one after another, each for the whole duration.',
  },
  {
    name: 'DEFAULT_HEALTH_CHECK',
    default: 'false',
    text: 'true: targets must be running and ready before and after. Also the field defaultHealthCheck.',
  },
  {
    name: 'STATUS_CHECK_DELAY',
    default: '2',
    text: 'Seconds between two looks of the health check.',
  },
  { name: 'STATUS_CHECK_TIMEOUT', default: '180', text: 'Seconds that the health check may take.' },
  {
    name: 'TARGET_WORKLOAD_KIND',
    default: '',
    text: 'With TARGET_WORKLOAD_NAMESPACE, _NAMES and _LABELS: targets, for documents without selectors. A fault on nodes takes the nodes of their pods.',
  },
] as const

/** Tunables of faults that act on pods or containers, beside the common ones. */
export const podTunables = [
  {
    name: 'TARGET_PODS',
    default: '',
    text: 'Pods by name, separated by commas; all of them are hit.',
  },
  {
    name: 'TARGETS_MODE',
    default: 'static',
    text: 'static: the targets chosen before the fault; dynamic: also those that come while it is held, for what is left of it. Also the field targets.mode.',
  },
  { name: 'TARGET_CONTAINER', default: '', text: 'Container; the first one when not set.' },
  { name: 'NODE_LABEL', default: '', text: 'Only pods on nodes with this label.' },
  {
    name: 'POD_AFFECTED_PERCENTAGE',
    default: '0',
    text: 'Share of the matching pods, percent; 0: exactly one. Also PODS_AFFECTED_PERC and POD_AFFECTED_PERC.',
  },
] as const

export const percentageNames = [
  'POD_AFFECTED_PERCENTAGE',
  'PODS_AFFECTED_PERC',
  'POD_AFFECTED_PERC',
]
export const nodePercentageNames = ['NODES_AFFECTED_PERCENTAGE', 'NODES_AFFECTED_PERC']

/** Tunables of faults that act on nodes, beside the common ones. */
export const nodeTunables = [
  {
    name: 'TARGET_NODE',
    default: '',
    text: 'The node by name. Also TARGET_NODES, several separated by commas; all of them are hit.',
  },
  { name: 'NODE_LABEL', default: '', text: 'Nodes with this label, where none is named.' },
  {
    name: 'TARGET_PODS',
    default: '',
    text: 'Of the selected pods only these, where the nodes of pods are taken.',
  },
  {
    name: 'NODES_AFFECTED_PERCENTAGE',
    default: '0',
    text: 'Share of the nodes that have the label, or that the selected pods run on, percent; 0: exactly one. Nodes that are named are all hit. Also NODES_AFFECTED_PERC.',
  },
] as const

/** Tunables of faults that act on workloads themselves, beside the common ones. */
export const workloadTunables = [
  {
    name: 'POD_AFFECTED_PERCENTAGE',
    default: '0',
    text: 'Share of the matching workloads, percent; 0: exactly one, or all where each is named. Also PODS_AFFECTED_PERC and POD_AFFECTED_PERC.',
  },
] as const

export const workloadNames = [
  'TARGET_WORKLOAD_KIND',
  'TARGET_WORKLOAD_NAMESPACE',
  'TARGET_WORKLOAD_NAMES',
  'TARGET_WORKLOAD_LABELS',
] as const

/** Tunables of the engine that these documents were first written for; they have no meaning here. */
const withoutMeaning = [
  'CONTAINER_RUNTIME',
  'SOCKET_PATH',
  'LIB',
  'LIB_IMAGE',
  'LIB_IMAGE_PULL_POLICY',
  'SET_HELPER_DATA',
  'TERMINATION_GRACE_PERIOD_SECONDS',
  'INSTANCE_ID',
  'CHAOS_SERVICE_ACCOUNT',
  'CHAOS_NAMESPACE',
]

const readNames = [
  ...[...commonTunables, ...podTunables].map((t) => t.name),
  ...percentageNames,
  ...workloadNames,
  'DEFAULT_APP_HEALTH_CHECK',
]

/** The set values of an `env` list by name, and the names of those that say nothing but blanks and commas; what is wrong with an entry is refused with its path. */
export function readEnv(
  env: unknown,
  at: At,
): { values: Tunables; blank: string[]; pathOf: (name: string) => string } {
  const values: Record<string, string> = Object.create(null)
  const places = new Map<string, number>()
  for (const [i, entry] of (Array.isArray(env) ? env : []).entries()) {
    const path = `${at.path}[${i}]`
    if (!isObject(entry)) {
      at.problems.refuse(path, 'an object is needed', 'write name and value')
      continue
    }
    readEntry(entry, { at: { path, problems: at.problems }, index: i, values, places })
  }
  const blank = Object.keys(values).filter((name) => isBlank(values[name]))
  for (const name of blank) values[name] = ''
  return {
    values,
    blank,
    pathOf: (name) => (places.has(name) ? `${at.path}[${places.get(name)}].value` : at.path),
  }
}

type Into = { at: At; index: number; values: Record<string, string>; places: Map<string, number> }

function readEntry(entry: Json, { at, index, values, places }: Into): void {
  const { path, problems } = at
  unknownKeys(entry, { path, known: ['name', 'value', 'valueFrom'], problems })
  refuseValueFrom(entry, at)
  const name = String(entry['name'] ?? '').trim()
  if (name === '') {
    problems.refuse(`${path}.name`, 'it is missing', 'give the tunable its name')
    return
  }
  const value = entry['value']
  if (value === null || value === undefined) return
  if (!['string', 'number', 'boolean'].includes(typeof value)) {
    problems.refuse(`${path}.value`, 'a text is needed', 'write for example "30"')
    return
  }
  const text = String(value)
  if (places.has(name) && values[name] !== text)
    problems.note(`${path}: ${name} is given twice; the last one counts.`)
  values[name] = text
  places.set(name, index)
}

/** Runs a reader of tunables; what it throws becomes a refusal with the path of the tunable. */
export function guarded<T>(
  read: () => T,
  { problems, pathOf }: { problems: Problems; pathOf: (name: string) => string },
): T | null {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof BadTunable)) throw error
    problems.refuse(pathOf(error.tunable), `${error.tunable}: ${error.message}`, error.suggestion)
    return null
  }
}

/** Says what is not read, and refuses what looks like a misspelling. */
export function judgeNames(
  { values, blank }: { values: Tunables; blank: string[] },
  fault: FaultDefinition,
  at: At & { pathOf: (name: string) => string },
): void {
  const own = fault.tunables.filter((t) => t.dialect === 'litmus').map((t) => t.name)
  const forNodes = ['TARGET_NODE', 'TARGET_NODES', ...nodePercentageNames]
  const known = [...readNames, ...own, ...(fault.targets === 'nodes' ? forNodes : [])]
  const unused: string[] = []
  for (const name of blank) if (known.includes(name)) refuseBlank(at.pathOf(name), at.problems)
  for (const name of Object.keys(values)) {
    if (known.includes(name) || saysNothing(values[name])) continue
    const meant = withoutMeaning.includes(name) ? null : nearest(name, known)
    if (meant === null) unused.push(name)
    else
      at.problems.refuse(
        at.pathOf(name).replace(/\.value$/, '.name'),
        `${fault.id} has no tunable ${name}`,
        `did you mean ${meant}?`,
      )
  }
  if (unused.length > 0)
    at.problems.note(
      `${at.path}: ${unused.join(', ')} ${unused.length > 1 ? 'are' : 'is'} accepted and not used.`,
    )
}

/** What the common tunables say about a task. */
export type CommonSettings = Pick<
  TaskPlan,
  'durationMs' | 'rampMs' | 'sequence' | 'healthCheck'
> & {
  share: 'one' | number
}

function shareOf(
  values: Tunables,
  names: readonly string[],
  { problems, pathOf }: { problems: Problems; pathOf: (name: string) => string },
): 'one' | number {
  const given = names.filter((name) => textOf(values, name) !== '')
  const [name, ...others] = given
  if (name === undefined) return 'one'
  const bare = (of: string): string => textOf(values, of).replace(/\s*%$/, '')
  const other = others.find((o) => Number(bare(o)) !== Number(bare(name)))
  if (other !== undefined)
    throw new BadTunable(other, `it says something else than ${name}`, 'give the percentage once')
  const percent = Number(bare(name))
  if (!/^\d{1,9}$/.test(bare(name)))
    throw new BadTunable(
      name,
      `${JSON.stringify(values[name])} is not a whole number of percent`,
      'write 0 to 100',
    )
  if (percent > 100) problems.note(`${pathOf(name)}: ${percent} percent is read as 100.`)
  return percent === 0 ? 'one' : Math.min(percent, 100)
}

function sequenceOf(values: Tunables): 'serial' | 'parallel' {
  const text = textOf(values, 'SEQUENCE').toLowerCase()
  if (text === '' || text === 'parallel') return 'parallel'
  if (text === 'serial') return 'serial'
  throw new BadTunable(
    'SEQUENCE',
    `${JSON.stringify(text)} is not known`,
    'write "serial" or "parallel"',
  )
}

/** Health check of a task: the tunable counts before the field, and DEFAULT_APP_HEALTH_CHECK is its older name. */
export type HealthFields = { on: boolean; delayMs: number; timeoutMs: number }

function healthOf(values: Tunables, fields: HealthFields): TaskPlan['healthCheck'] {
  const name =
    textOf(values, 'DEFAULT_HEALTH_CHECK') === ''
      ? 'DEFAULT_APP_HEALTH_CHECK'
      : 'DEFAULT_HEALTH_CHECK'
  const delayMs = duration(values, {
    name: 'STATUS_CHECK_DELAY',
    minMs: 0,
    unset: fields.delayMs,
  })
  const timeoutMs = duration(values, {
    name: 'STATUS_CHECK_TIMEOUT',
    minMs: 1,
    unset: fields.timeoutMs,
  })
  return yesOrNo(values, name, fields.on) ? { delayMs, timeoutMs } : null
}

/** Reads the common tunables; null after a refusal. */
export function commonSettings(
  values: Tunables,
  {
    fault,
    fields,
    problems,
    pathOf,
  }: {
    fault: FaultDefinition
    fields: HealthFields
    problems: Problems
    pathOf: (name: string) => string
  },
): CommonSettings | null {
  const read = <T>(reader: () => T): T | null => guarded(reader, { problems, pathOf })
  const durationMs = read(() =>
    duration(values, { name: 'TOTAL_CHAOS_DURATION', minMs: 1, unset: fault.defaults.durationMs }),
  )
  const rampMs = read(() => duration(values, { name: 'RAMP_TIME', minMs: 0, unset: 0 }))
  const names = fault.targets === 'nodes' ? nodePercentageNames : percentageNames
  const share = read(() => shareOf(values, names, { problems, pathOf }))
  const sequence = read(() => sequenceOf(values))
  const before = problems.refusals.length
  const healthCheck = read(() => healthOf(values, fields))
  if (durationMs === null || rampMs === null || share === null || sequence === null) return null
  return problems.refusals.length > before
    ? null
    : { durationMs, rampMs, share, sequence, healthCheck }
}

/** Weight of a task in the score. Throws BadTunable. */
export const weightOf = (value: unknown): number =>
  wholeNumber(
    { weight: value === null || value === undefined ? '' : String(value) },
    { name: 'weight', min: 1, max: 10, unset: 10 },
  )
