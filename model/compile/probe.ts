import { parse } from 'yaml'
import { longestMs } from '../duration.ts'
import type { Refusal } from '../plan.ts'
import { type ProbeMode, type ProbePlan, probeModes, type RunProperties } from '../probe.ts'
import { suggest } from '../suggest.ts'
import { type At, commandInputs, httpInputs, k8sInputs, textField } from './probe-inputs.ts'
import { isObject, type Json, Problems, saysNothing, unknownKeys, unreadable } from './problems.ts'

/** What is built, by its full name; the bare names are accepted too. */
const built = ['httpProbe', 'cmdProbe', 'k8sProbe'] as const
type Built = (typeof built)[number]

const notBuilt = [
  'promProbe',
  'sloProbe',
  'datadogProbe',
  'dynatraceProbe',
  'newrelicProbe',
  'apmProbe',
  'containerProbe',
] as const

/** What counts when a probe does not say how it is evaluated. */
export const defaultRun: Readonly<RunProperties> = {
  timeoutMs: 10_000,
  intervalMs: 1000,
  attempts: 1,
  pollingMs: 1000,
  initialDelayMs: 0,
  stopOnFailure: false,
  verbosity: 'info',
}

const longName = (type: string): string =>
  type.endsWith('Probe') || type === '' ? type : `${type}Probe`

function typeOf(envelope: Json, at: At): Built | null {
  const written = textField(envelope, 'type', at)
  const inferred = built.find((type) => envelope[`${type}/inputs`] !== undefined)
  if (written === '' && inferred) return inferred
  const path = `${at.path}type`
  if (written === '') {
    at.problems.refuse(path, 'it is missing', `use one of: ${built.join(', ')}`)
    return null
  }
  const type = longName(written)
  const found = built.find((known) => known.toLowerCase() === type.toLowerCase())
  if (found) return found
  const known = notBuilt.find((name) => name.toLowerCase() === type.toLowerCase())
  if (known) at.problems.refuse(path, `${known} is not built`, `use one of: ${built.join(', ')}`)
  else
    at.problems.refuse(
      path,
      `there is no probe type ${JSON.stringify(written)}`,
      suggest(type, built),
    )
  return null
}

/** The mode in its usual spelling, or null after a refusal. */
export function modeOf(
  written: string,
  path: string,
  problems: Problems,
): ProbePlan['mode'] | null {
  if (written.trim() !== '') return problems.oneOf(path, written.trim(), probeModes)
  problems.refuse(path, 'it is missing', `use one of: ${probeModes.join(', ')}`)
  return null
}

const runKeys = [
  'probeTimeout',
  'timeout',
  'interval',
  'attempt',
  'retry',
  'probePollingInterval',
  'pollingInterval',
  'initialDelay',
  'initialDelaySeconds',
  'stopOnFailure',
  'verbosity',
  'evaluationTimeout',
] as const

function attemptsOf(run: Json, at: At): number {
  for (const key of ['attempt', 'retry'] as const) {
    const value = run[key]
    if (value === null || value === undefined || value === '') continue
    const count = Number(value)
    if (!Number.isInteger(count) || count < 0 || count > 1000) {
      at.problems.refuse(
        `${at.path}.${key}`,
        `${JSON.stringify(value)} is not a number of tries`,
        'write 1 to 1000',
      )
      return 1
    }
    if (count > 0) return count
  }
  return 1
}

function flagOf(run: Json, key: string, at: At): boolean {
  const value = String(run[key] ?? '').toLowerCase()
  if (value === '' || value === 'false') return false
  if (value === 'true') return true
  at.problems.refuse(
    `${at.path}.${key}`,
    `${JSON.stringify(run[key])} is neither true nor false`,
    'write true or false',
  )
  return false
}

/** The older way to say initialDelay, a bare number; milliseconds. */
function delaySecondsOf(run: Json, at: At): number {
  const written = run['initialDelaySeconds']
  if (written === null || written === undefined || written === '') return defaultRun.initialDelayMs
  const seconds = typeof written === 'boolean' ? Number.NaN : Number(written)
  if (seconds >= 0 && seconds * 1000 <= longestMs) return seconds * 1000
  at.problems.refuse(
    `${at.path}.initialDelaySeconds`,
    `${JSON.stringify(written)} is not a number of seconds from 0 to 576h, the longest that is kept`,
    'write for example 5',
  )
  return defaultRun.initialDelayMs
}

const verbosities = ['info', 'debug'] as const

function verbosityOf(run: Json, at: At): RunProperties['verbosity'] {
  const written = textField(run, 'verbosity', at).trim()
  return written === ''
    ? 'info'
    : (at.problems.oneOf(`${at.path}.verbosity`, written, verbosities) ?? 'info')
}

function runOf(envelope: Json, at: At): RunProperties {
  const run = envelope['runProperties'] ?? {}
  const there = { path: `${at.path}runProperties`, problems: at.problems }
  if (!isObject(run)) {
    at.problems.refuse(there.path, 'an object is needed', 'write probeTimeout, interval and so on')
    return { ...defaultRun }
  }
  unknownKeys(run, { ...there, known: runKeys })
  if (!saysNothing(run['evaluationTimeout']))
    there.problems.note(`${there.path}.evaluationTimeout is not used; probeTimeout counts.`)
  const span = (keys: readonly string[], unset: number): number => {
    const key = keys.find((k) => !saysNothing(run[k])) ?? keys[0] ?? ''
    return at.problems.span(`${there.path}.${key}`, run[key], unset) ?? unset
  }
  const delayMs = delaySecondsOf(run, there)
  const timeoutMs = span(['probeTimeout', 'timeout'], defaultRun.timeoutMs)
  if (timeoutMs < 1)
    at.problems.refuse(
      `${there.path}.probeTimeout`,
      'a try of no length cannot pass',
      'write for example "10s"',
    )
  return {
    timeoutMs,
    intervalMs: span(['interval'], defaultRun.intervalMs),
    attempts: attemptsOf(run, there),
    pollingMs: Math.max(
      span(['probePollingInterval', 'pollingInterval'], defaultRun.pollingMs),
      100,
    ),
    initialDelayMs: span(['initialDelay'], delayMs),
    stopOnFailure: flagOf(run, 'stopOnFailure', there),
    verbosity: verbosityOf(run, there),
  }
}

const envelopeKeys = [
  'name',
  'id',
  'type',
  'mode',
  'runProperties',
  'data',
  'isVerified',
  'probeRef',
  ...[...built, ...notBuilt].map((type) => `${type}/inputs`),
]

function inputsOf(envelope: Json, type: Built, at: At): { value: Json; at: At } | null {
  const key = `${type}/inputs`
  const there = { path: `${at.path}${key}`, problems: at.problems }
  const value = envelope[key]
  if (isObject(value)) return { value, at: there }
  at.problems.refuse(there.path, 'it is missing', `write the inputs of the ${type} below it`)
  return null
}

/** The probe in an envelope that is an object already; null after a refusal. `prefix` ends with a point or is empty. */
export function readProbe(
  envelope: Json,
  {
    mode,
    name,
    prefix,
    problems,
  }: { mode: string; name: string; prefix: string; problems: Problems },
): ProbePlan | null {
  const at: At = { path: prefix, problems }
  const before = problems.refusals.length
  unknownKeys(envelope, { path: prefix.replace(/\.$/, ''), known: envelopeKeys, problems })
  const type = typeOf(envelope, at)
  const when: ProbeMode | null = modeOf(
    mode || String(envelope['mode'] ?? ''),
    `${prefix}mode`,
    problems,
  )
  const run = runOf(envelope, at)
  const title = String(envelope['name'] ?? '').trim() || name
  if (title === '') problems.refuse(`${prefix}name`, 'it is missing', 'give the probe a name')
  const inputs = type === null ? null : inputsOf(envelope, type, at)
  if (!saysNothing(envelope['data']))
    problems.note(`${prefix}data is not used: a probe creates nothing.`)
  if (type === null || inputs === null || when === null) return null
  const common = { name: title, mode: when, run }
  const probe: ProbePlan = (() => {
    switch (type) {
      case 'httpProbe':
        return { ...common, type, inputs: httpInputs(inputs.value, inputs.at) }
      case 'cmdProbe':
        return { ...common, type, inputs: commandInputs(inputs.value, inputs.at) }
      case 'k8sProbe':
        return { ...common, type, inputs: k8sInputs(inputs.value, inputs.at) }
    }
  })()
  return problems.refusals.length > before ? null : probe
}

export type ParsedProbe =
  | { ok: true; probe: ProbePlan; notes: string[] }
  | { ok: false; refusals: Refusal[] }

/** The probe in an entry of the registry: YAML or JSON text, or an object. `name` is used when the envelope has none. */
export function parseProbe(envelope: unknown, mode: ProbeMode | '', name = ''): ParsedProbe {
  const problems = new Problems()
  let value = envelope
  if (typeof envelope === 'string') {
    try {
      value = parse(envelope)
    } catch (error) {
      problems.refuse(name, `it is not YAML: ${(error as Error).message}`, 'correct the text')
      return { ok: false, refusals: problems.refusals }
    }
  }
  if (!isObject(value)) {
    problems.refuse(name, 'it is not a probe', 'write type, inputs and runProperties')
    return { ok: false, refusals: problems.refusals }
  }
  const wrong = unreadable(value)
  if (wrong.length > 0) return { ok: false, refusals: wrong }
  const probe = readProbe(value, { mode, name, prefix: '', problems })
  return probe === null
    ? { ok: false, refusals: problems.refusals }
    : { ok: true, probe, notes: problems.notes }
}
