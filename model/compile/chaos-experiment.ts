import { type ChaosExperimentInput, chaosExperimentSchema } from '../documents/chaos-experiment.ts'
import type { FaultCatalogue, FaultDefinition, Tunables } from '../fault.ts'
import { BadSelector, selectorText } from '../label-selector.ts'
import type { Compiled, Selection, TaskPlan } from '../plan.ts'
import { nearest } from '../suggest.ts'
import { textOf } from '../tunable.ts'
import { faultNamed } from './faults.ts'
import { checkName, isBlank, nameList, refuseBlank } from './names.ts'
import {
  isObject,
  type Json,
  Problems,
  refuseOtherKind,
  refuseUnknown,
  saysNothing,
  schemaRefusals,
  unknownKeys,
} from './problems.ts'
import { probesOf } from './steady-state.ts'
import { targetsModeOf } from './targets-mode.ts'
import { guarded } from './tunables.ts'

type Spec = ChaosExperimentInput['spec']

/** Names the service account whose rights are used; without it the chart's default account counts. */
export const accountAnnotation = 'chaos.chaosplane.io/service-account'

/** How long probes of `steadyState.after` may take to hold again when the document does not say. */
const defaultRecoveryMs = 300_000

const specKeys = [
  'target',
  'action',
  'duration',
  'rollback',
  'execution',
  'steadyState',
  'abortConditions',
]

/** Parameters that say which container is meant, whatever the action. */
const containerNames = ['containerName', 'container']

function labelsOf(target: Spec['target'], problems: Problems): string {
  try {
    const text = selectorText(target.labelSelector ?? {})
    if (text === '')
      problems.refuse(
        'spec.target.labelSelector',
        target.kind === 'Node'
          ? 'it is empty, and that would be every node of the cluster'
          : 'it is empty, and that would be every pod of the namespace',
        'write matchLabels, or name the targets in spec.target.names',
      )
    return text
  } catch (error) {
    if (!(error instanceof BadSelector)) throw error
    problems.refuse('spec.target.labelSelector', error.message, 'correct the label or its values')
    return ''
  }
}

const targetKeys = ['kind', 'namespace', 'labelSelector', 'names', 'mode', 'value']
const actionKeys = ['type', 'parameters', 'duration']

/** Tools that write this document know `mode` and `value`; to read `one` as all would hit more than was asked. */
function refuseShare(target: Spec['target'], problems: Problems): void {
  const mode = String(target['mode'] ?? '').trim()
  if (mode !== '' && mode.toLowerCase() !== 'all')
    problems.refuse(
      'spec.target.mode',
      `${JSON.stringify(mode)} is not built: every pod that matches is hit`,
      'name the pods in spec.target.names, or leave mode out and select fewer by labels',
    )
  else if (!saysNothing(target['value']))
    problems.note('spec.target.value is not read: every pod that matches is hit.')
}

const namesOf = (target: Spec['target'], problems: Problems): string[] =>
  nameList(target.names ?? [], target.kind === 'Node' ? 'node' : 'pod', {
    path: 'spec.target.names',
    problems,
  })

/** Nodes by name or by label; neither would be every node of the cluster. */
function nodesOf(target: Spec['target'], problems: Problems): Selection {
  const names = namesOf(target, problems)
  const nodeLabel = names.length > 0 ? '' : labelsOf(target, problems)
  return { workloads: [], pods: [], nodes: names, nodeLabel, container: '', share: 'all' }
}

type Aimed = { container: string; targets: FaultDefinition['targets'] | null; problems: Problems }

function selectionOf(target: Spec['target'], { container, targets, problems }: Aimed): Selection {
  const namespace = target.namespace?.trim() ?? ''
  if (target.kind === 'Node' && targets !== 'nodes' && targets !== null)
    problems.refuse(
      'spec.target.kind',
      'this action is not aimed at nodes',
      'write Pod, and select pods',
    )
  else if (target.kind !== 'Node' && targets === 'nodes')
    problems.refuse('spec.target.kind', 'this action is aimed at nodes', 'write Node')
  if (target.kind === 'Node') return nodesOf(target, problems)
  if (namespace === '')
    problems.refuse('spec.target.namespace', 'it is missing', 'write the namespace of the pods')
  checkName(namespace, 'namespace', { path: 'spec.target.namespace', problems })
  const names = namesOf(target, problems)
  if (names.length > 0 && target.labelSelector)
    problems.note('spec.target.labelSelector is not used, because spec.target.names is given.')
  const labels = names.length > 0 ? '' : labelsOf(target, problems)
  return {
    workloads: [{ kind: names.length > 0 ? 'pod' : 'any', namespace, names, labels }],
    pods: [],
    nodes: [],
    nodeLabel: '',
    container,
    share: 'all',
  }
}

function parametersOf(parameters: unknown, problems: Problems): Tunables {
  const path = 'spec.action.parameters'
  if (saysNothing(parameters)) return {}
  if (!isObject(parameters)) {
    problems.refuse(path, 'an object is needed', 'write name: "value"')
    return {}
  }
  const values: Record<string, string> = {}
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === '') continue
    if (isBlank(value)) refuseBlank(`${path}.${name}`, problems)
    else if (['string', 'number', 'boolean'].includes(typeof value)) values[name] = String(value)
    else problems.refuse(`${path}.${name}`, 'a text is needed', 'write for example "1"')
  }
  return values
}

function refuseUnknownParameters(values: Tunables, known: string[], problems: Problems): void {
  for (const name of Object.keys(values)) {
    if (known.includes(name)) continue
    const meant = nearest(name, known)
    problems.refuse(
      `spec.action.parameters.${name}`,
      'the action has no parameter of this name',
      meant === null ? `use one of: ${known.join(', ')}` : `did you mean ${meant}?`,
    )
  }
}

function refuseUnknownTargets(target: Spec['target'], problems: Problems): void {
  refuseUnknown(target, { path: 'spec.target', known: targetKeys, problems })
  const at = 'spec.target.labelSelector'
  const selector = target.labelSelector ?? {}
  refuseUnknown(selector, { path: at, known: ['matchLabels', 'matchExpressions'], problems })
  for (const [i, expression] of (selector.matchExpressions ?? []).entries()) {
    const path = `${at}.matchExpressions[${i}]`
    refuseUnknown(expression, { path, known: ['key', 'operator', 'values'], problems })
  }
}

function noteUnused(spec: Spec, problems: Problems): void {
  unknownKeys(spec, { path: 'spec', known: specKeys, problems })
  refuseUnknownTargets(spec.target, problems)
  unknownKeys(spec.action, { path: 'spec.action', known: actionKeys, problems })
  refuseShare(spec.target, problems)
  if (spec.rollback?.enabled === false)
    problems.note('spec.rollback.enabled: false is not followed; what was done is always undone.')
  if (!saysNothing(spec.rollback?.timeout))
    problems.note('spec.rollback.timeout is not used; undoing is retried until it has succeeded.')
  if (!saysNothing(spec.execution?.parallelism))
    problems.note('spec.execution.parallelism is not used; all targets are hit together.')
}

function durationOf(spec: Spec, problems: Problems): number {
  const own = spec.action.duration
  const [path, written] =
    own === undefined ? ['spec.duration', spec.duration] : ['spec.action.duration', own]
  // A bare number is the documented form of neither field, but what it means is plain: no note.
  const ms = problems.span(path, String(written), 0)
  if (ms === 0) problems.refuse(path, 'it is zero', 'write for example "30s"')
  if (own !== undefined && String(own) !== String(spec.duration))
    problems.note('spec.duration is not used, because spec.action.duration is given.')
  return ms ?? 0
}

/** The container by either of its names; two that differ would leave one of them unheard. */
function containerOf(values: Tunables, problems: Problems): string {
  const [first, ...others] = containerNames.filter((name) => textOf(values, name) !== '')
  if (first === undefined) return ''
  const pathOf = (name: string): string => `spec.action.parameters.${name}`
  const other = others.find((name) => textOf(values, name) !== textOf(values, first))
  if (other !== undefined)
    problems.refuse(
      pathOf(other),
      `it says something else than ${first}`,
      'name the container once',
    )
  return checkName(textOf(values, first), 'container', { path: pathOf(first), problems })
}

/** The fault and its parameters; null after a refusal. */
function faultOf(
  action: Spec['action'],
  catalogue: FaultCatalogue,
  { values, problems }: { values: Tunables; problems: Problems },
): { fault: string; faultWritten: string; params: Record<string, unknown> } | null {
  const written = action.type.trim()
  const where = { dialect: 'chaosplane' as const, path: 'spec.action.type', problems }
  const fault = faultNamed(written, catalogue, where)
  if (fault === null) return null
  const own = fault.tunables.filter((t) => t.dialect === 'chaosplane').map((t) => t.name)
  refuseUnknownParameters(values, [...own, ...containerNames], problems)
  const pathOf = (name: string): string => `spec.action.parameters.${name}`
  const params = guarded(() => fault.fromChaosplane(values, written), { problems, pathOf })
  return params === null ? null : { fault: fault.id, faultWritten: written, params }
}

function recoveryOf(state: Spec['steadyState'], problems: Problems): number | null {
  const written = state?.recoveryTimeout
  const ms = problems.span(
    'spec.steadyState.recoveryTimeout',
    saysNothing(written) ? null : String(written),
    defaultRecoveryMs,
  )
  return (state?.after ?? []).length > 0 ? ms : null
}

function taskOf(spec: Spec, catalogue: FaultCatalogue, problems: Problems): TaskPlan | null {
  noteUnused(spec, problems)
  const values = parametersOf(spec.action.parameters, problems)
  const fault = faultOf(spec.action, catalogue, { values, problems })
  const container = containerOf(values, problems)
  const targets = fault === null ? null : (catalogue[fault.fault]?.targets ?? null)
  const selection = selectionOf(spec.target, { container, targets, problems })
  const probes = probesOf(spec, { namespace: spec.target.namespace ?? '', problems })
  const durationMs = durationOf(spec, problems)
  if (fault === null) return null
  const definition = catalogue[fault.fault]
  const dynamic =
    definition &&
    targetsModeOf(text(spec.execution?.targets), {
      path: 'spec.execution.targets',
      problems,
      fault: definition,
      sequence: 'parallel',
    })
  return {
    name: fault.faultWritten,
    ...fault,
    selection,
    probes,
    durationMs,
    rampMs: 0,
    sequence: 'parallel',
    healthCheck: null,
    weight: 10,
    pods: {},
    ...dynamic,
  }
}

const text = (value: unknown): string => String(value ?? '').trim()

function planOf(
  spec: Spec,
  catalogue: FaultCatalogue,
  { metadata, problems }: { metadata: Json; problems: Problems },
): Compiled {
  const task = taskOf(spec, catalogue, problems)
  const recoveryMs = recoveryOf(spec.steadyState, problems)
  const annotations = isObject(metadata['annotations']) ? metadata['annotations'] : {}
  const account = checkName(text(annotations[accountAnnotation]), 'account', {
    path: `metadata.annotations.${accountAnnotation}`,
    problems,
  })
  if (problems.refusals.length > 0 || task === null)
    return { ok: false, refusals: problems.refusals }
  const uid = text(metadata['uid'])
  return {
    ok: true,
    plan: {
      dialect: 'ChaosExperiment',
      namespace: text(metadata['namespace']),
      name: text(metadata['name']),
      uid,
      account: account || null,
      experimentId: uid,
      runId: uid,
      cleanup: 'delete',
      steps: [[task.name]],
      tasks: [task],
      recoveryMs,
      notes: problems.notes,
    },
  }
}

/** Compiles a ChaosExperiment; pure. */
export function compileChaosExperiment(doc: unknown, catalogue: FaultCatalogue): Compiled {
  const other = refuseOtherKind(doc, {
    apiVersion: 'chaos.chaosplane.io/v1alpha1',
    kind: 'ChaosExperiment',
  })
  if (other.length > 0 || !isObject(doc)) return { ok: false, refusals: other }
  const parsed = chaosExperimentSchema.safeParse(doc)
  if (!parsed.success) return { ok: false, refusals: schemaRefusals(parsed.error) }
  const metadata = isObject(doc['metadata']) ? doc['metadata'] : {}
  return planOf(parsed.data.spec, catalogue, { metadata, problems: new Problems() })
}
