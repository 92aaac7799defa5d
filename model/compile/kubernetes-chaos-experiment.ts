import { kubernetesChaosExperimentSchema } from '../documents/kubernetes-chaos-experiment.ts'
import { longestMs } from '../duration.ts'
import type { FaultCatalogue } from '../fault.ts'
import type { Compiled, ProbeReference, TaskPlan } from '../plan.ts'
import type { ProbePlan } from '../probe.ts'
import { suggest } from '../suggest.ts'
import { podSettings } from './components.ts'
import { faultNamed } from './faults.ts'
import { checkName } from './names.ts'
import { noteOverridden } from './overridden.ts'
import { modeOf, readProbe } from './probe.ts'
import type { At } from './probe-inputs.ts'
import {
  isObject,
  type Json,
  Problems,
  refuseOtherKind,
  saysNothing,
  schemaRefusals,
  unknownKeys,
} from './problems.ts'
import { selectionOf } from './targets.ts'
import { targetsModeOf } from './targets-mode.ts'
import {
  commonSettings,
  guarded,
  type HealthFields,
  judgeNames,
  readEnv,
  weightOf,
} from './tunables.ts'

const specKeys = [
  'experimentId',
  'experimentRunId',
  'cleanupPolicy',
  'serviceAccountName',
  'steps',
  'tasks',
]
const taskKeys = ['name', 'definition', 'probeRef', 'weight', 'values']
const chaosKeys = [
  'experiment',
  'fault',
  'image',
  'imagePullPolicy',
  'args',
  'command',
  'labels',
  'annotations',
  'defaultHealthCheck',
  'env',
  'probes',
  'components',
  'serviceAccountName',
]

/** Parts of newer documents that would do something: leaving them out silently would claim what did not happen. */
const notBuilt = { spec: ['actions', 'probes', 'vertices', 'faults'], task: ['actions'] }

const object = (value: unknown): Json => (isObject(value) ? value : {})
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const trimmed = (value: unknown): string => String(value ?? '').trim()

function refuseNotBuilt(
  value: Json,
  keys: readonly string[],
  at: { path: string; problems: Problems },
): void {
  for (const key of keys)
    if (!saysNothing(value[key]))
      at.problems.refuse(
        `${at.path}.${key}`,
        `${key} at this place are not built`,
        `leave ${key} out`,
      )
}

type Context = { path: string; problems: Problems; catalogue: FaultCatalogue }

/** Image and log watcher are always written by the control plane: one note says that they do not count. */
function noteImages(chaos: Json, path: string, problems: Problems): void {
  const unused = ['image', 'imagePullPolicy'].filter((key) => !saysNothing(chaos[key]))
  if (unused.length > 0)
    problems.note(
      `${path}: ${unused.join(' and ')} ${unused.length > 1 ? 'are' : 'is'} not used: faults run in the image of this product.`,
    )
  for (const key of ['args', 'command'])
    if (!saysNothing(chaos[key]))
      problems.refuse(`${path}.${key}`, 'faults of your own are not built', `leave ${key} out`)
  if (!saysNothing(chaos['serviceAccountName']))
    problems.note(`${path}.serviceAccountName is not read; spec.serviceAccountName counts.`)
}

function inlineProbes(chaos: Json, { path, problems }: Context): ProbePlan[] {
  return list(chaos['probes']).flatMap((entry, i) => {
    const at = `${path}.probes[${i}]`
    const probe = readProbe(object(entry), { mode: '', name: '', prefix: `${at}.`, problems })
    return probe === null ? [] : [probe]
  })
}

function probeReferences(task: Json, { path, problems }: Context): ProbeReference[] {
  return list(task['probeRef']).flatMap((entry, i) => {
    const at = `${path}.probeRef[${i}]`
    const written = object(entry)
    unknownKeys(written, { path: at, known: ['probeID', 'mode'], problems })
    const ref = trimmed(written['probeID'])
    if (ref === '')
      problems.refuse(
        `${at}.probeID`,
        'it is missing',
        'write the key of the probe in the registry',
      )
    const mode = modeOf(trimmed(written['mode']), `${at}.mode`, problems)
    return ref === '' || mode === null ? [] : [{ ref, mode }]
  })
}

function refuseTwins(probes: (ProbePlan | ProbeReference)[], { path, problems }: Context): void {
  const names = probes.map((p) => `${'ref' in p ? p.ref : p.name} in mode ${p.mode}`)
  const twin = names.find((name, i) => names.indexOf(name) !== i)
  if (twin !== undefined)
    problems.refuse(path, `the probe ${twin} stands here twice`, 'name every probe of a task once')
}

function healthFields(chaos: Json, { path, problems }: At): HealthFields {
  const timeouts = object(object(chaos['components'])['statusCheckTimeouts'])
  const at = `${path}.components.statusCheckTimeouts`
  unknownKeys(timeouts, { path: at, known: ['delay', 'timeout'], problems })
  const seconds = (key: 'delay' | 'timeout', unset: number): number => {
    const written = timeouts[key]
    if (written === null || written === undefined || written === '') return unset
    const value = Number(written)
    if (typeof written !== 'boolean' && value >= 0) return Math.min(value * 1000, longestMs)
    problems.refuse(`${at}.${key}`, 'it is not a number of seconds', 'write for example 180')
    return unset
  }
  return {
    on: chaos['defaultHealthCheck'] === true,
    delayMs: seconds('delay', 2000),
    timeoutMs: Math.max(1, seconds('timeout', 180_000)),
  }
}

function weight(task: Json, chaos: Json, { path, problems }: Context): number | null {
  const label = object(chaos['labels'])['weight']
  const direct = task['weight'] !== null && task['weight'] !== undefined
  const at = direct ? `${path}.weight` : `${path}.definition.chaos.labels.weight`
  return guarded(() => weightOf(direct ? task['weight'] : label), { problems, pathOf: () => at })
}

/** Everything of a task but its fault: what is wrong is refused with its path. */
function readTask(task: Json, context: Context) {
  const { path, problems } = context
  refuseNotBuilt(task, notBuilt.task, context)
  unknownKeys(task, { path, known: [...taskKeys, ...notBuilt.task], problems })
  const name = trimmed(task['name'])
  if (name === '')
    problems.refuse(`${path}.name`, 'it is missing', 'name the task, for example pod-delete-1')
  if (!saysNothing(task['values'])) problems.note(`${path}.values is not used.`)
  const definition = object(task['definition'])
  unknownKeys(definition, { path: `${path}.definition`, known: ['targets', 'chaos'], problems })
  const chaos = object(definition['chaos'])
  const at = `${path}.definition.chaos`
  unknownKeys(chaos, { path: at, known: chaosKeys, problems })
  noteImages(chaos, at, problems)
  const inline = inlineProbes(chaos, { ...context, path: at })
  const probes = [...inline, ...probeReferences(task, context)]
  refuseTwins(probes, { ...context, path })
  return {
    name,
    at,
    chaos,
    targets: definition['targets'],
    probes,
    pods: podSettings(chaos, { path: at, problems }),
    weight: weight(task, chaos, context),
    written: faultNameOf(chaos, { path: at, problems }),
    ...readEnv(chaos['env'], { path: `${at}.env`, problems }),
  }
}

/** `experiment` in documents of today, `fault` in those of others; either will do. */
function faultNameOf(chaos: Json, { path, problems }: At): string {
  const [experiment, fault] = [trimmed(chaos['experiment']), trimmed(chaos['fault'])]
  if (experiment !== '' && fault !== '' && experiment !== fault)
    problems.refuse(
      `${path}.fault`,
      `it says ${JSON.stringify(fault)}, and experiment says ${JSON.stringify(experiment)}`,
      'name the fault once',
    )
  return experiment || fault
}

function compileTask(task: Json, context: Context): TaskPlan | null {
  const { path, problems, catalogue } = context
  const before = problems.refusals.length
  const { at, chaos, targets, written, values, blank, pathOf, ...read } = readTask(task, context)
  const where = { dialect: 'litmus' as const, path: `${at}.experiment`, problems }
  const fault = faultNamed(written, catalogue, where)
  const common =
    fault &&
    commonSettings(values, {
      fault,
      fields: healthFields(chaos, { path: at, problems }),
      problems,
      pathOf,
    })
  const selection = selectionOf(targets, values, {
    path: `${path}.definition.targets`,
    problems,
    pathOf,
    share: common?.share ?? 'one',
    targets: fault?.targets ?? 'pods',
    ...(fault?.kinds ? { kinds: fault.kinds } : {}),
  })
  if (fault === null) return null
  noteOverridden(values, { selection, targets: fault.targets }, { problems, pathOf })
  judgeNames({ values, blank }, fault, { path: `${at}.env`, problems, pathOf })
  const params = guarded(() => fault.fromLitmus(values, written), { problems, pathOf })
  if (params === null || common === null || read.weight === null) return null
  if (problems.refusals.length > before) return null
  const mode = isObject(targets) ? trimmed(targets['mode']) : ''
  const dynamic = targetsModeOf(mode || (values['TARGETS_MODE'] ?? ''), {
    path: mode ? `${path}.definition.targets.mode` : pathOf('TARGETS_MODE'),
    problems,
    fault,
    sequence: common.sequence,
  })
  if (problems.refusals.length > before) return null
  const { share: _share, ...settings } = common
  const order = fault.order?.(params) ?? 'random'
  return {
    name: read.name,
    fault: fault.id,
    faultWritten: written,
    params,
    selection: order === 'random' ? selection : { ...selection, order },
    probes: read.probes,
    ...settings,
    ...dynamic,
    weight: read.weight,
    pods: read.pods,
  }
}

function refuseDuplicates(names: string[], problems: Problems): void {
  for (const [i, name] of names.entries())
    if (name !== '' && names.indexOf(name) !== i)
      problems.refuse(
        `spec.tasks[${i}].name`,
        `another task is called ${JSON.stringify(name)}`,
        'give every task its own name',
      )
}

function stepsOf(spec: Json, names: string[], problems: Problems): string[][] {
  const written = list(spec['steps'])
  if (written.flat().length === 0) {
    if (names.length > 1)
      problems.note('spec.steps is empty: the tasks run one after another, in their order.')
    return names.map((name) => [name])
  }
  const placed = new Set<string>()
  const steps = written.map((step, i) =>
    list(step).map((entry, j) => {
      const path = `spec.steps[${i}][${j}].name`
      const name = trimmed(isObject(entry) ? entry['name'] : entry)
      if (name === '' || !names.includes(name))
        problems.refuse(
          path,
          name === '' ? 'it is missing' : `there is no task ${JSON.stringify(name)}`,
          suggest(name, names),
        )
      else if (placed.has(name))
        problems.refuse(
          path,
          `the task ${JSON.stringify(name)} stands in the steps twice`,
          'name every task once',
        )
      placed.add(name)
      return name
    }),
  )
  for (const [i, name] of names.entries())
    if (name !== '' && !placed.has(name))
      problems.refuse(
        `spec.tasks[${i}]`,
        `the task ${JSON.stringify(name)} stands in no step`,
        'add it to spec.steps or remove it',
      )
  return steps.filter((step) => step.length > 0)
}

/** Compiles a KubernetesChaosExperiment; pure. */
export function compileKubernetesChaosExperiment(
  doc: unknown,
  catalogue: FaultCatalogue,
): Compiled {
  const other = refuseOtherKind(doc, {
    apiVersion: 'litmuschaos.io/v1alpha1',
    kind: 'KubernetesChaosExperiment',
  })
  if (other.length > 0 || !isObject(doc)) return { ok: false, refusals: other }
  const parsed = kubernetesChaosExperimentSchema.safeParse(doc)
  if (!parsed.success) return { ok: false, refusals: schemaRefusals(parsed.error) }
  const problems = new Problems()
  const [metadata, spec] = [object(doc['metadata']), object(doc['spec'])]
  refuseNotBuilt(spec, notBuilt.spec, { path: 'spec', problems })
  unknownKeys(spec, { path: 'spec', known: [...specKeys, ...notBuilt.spec], problems })
  if (!saysNothing(doc['variables'])) problems.note('variables are not used.')
  const written = list(spec['tasks']).map(object)
  if (written.length === 0)
    problems.refuse('spec.tasks', 'there is no task', 'write at least one task')
  const tasks = written.map((task, i) =>
    compileTask(task, { path: `spec.tasks[${i}]`, problems, catalogue }),
  )
  const names = written.map((task) => trimmed(task['name']))
  refuseDuplicates(names, problems)
  const steps = stepsOf(spec, names, problems)
  const account = checkName(trimmed(spec['serviceAccountName']), 'account', {
    path: 'spec.serviceAccountName',
    problems,
  })
  if (problems.refusals.length > 0) return { ok: false, refusals: problems.refusals }
  return {
    ok: true,
    plan: {
      dialect: 'KubernetesChaosExperiment',
      namespace: trimmed(metadata['namespace']),
      name: trimmed(metadata['name']),
      uid: trimmed(metadata['uid']),
      account: account || null,
      experimentId: trimmed(spec['experimentId']) || trimmed(metadata['uid']),
      runId: trimmed(spec['experimentRunId']),
      cleanup: spec['cleanupPolicy'] === 'retain' ? 'retain' : 'delete',
      steps,
      tasks: tasks.filter((task) => task !== null),
      recoveryMs: null,
      notes: problems.notes,
    },
  }
}
