import type { FaultDefinition, Tunables } from '../fault.ts'
import { BadSelector, parseSelector } from '../label-selector.ts'
import { type Selection, type WorkloadKind, type WorkloadSelector, workloadKinds } from '../plan.ts'
import { textOf } from '../tunable.ts'
import { checkName, isBlank, type NameOf, nameList, refuseBlank } from './names.ts'
import type { At } from './probe-inputs.ts'
import { isObject, type Json, type Problems, refuseUnknown, saysNothing } from './problems.ts'
import { workloadNames } from './tunables.ts'

/** The selector when it can be read, else an empty text after a refusal. */
export function checkedSelector(text: string, path: string, problems: Problems): string {
  try {
    parseSelector(text)
    return text.trim()
  } catch (error) {
    if (!(error instanceof BadSelector)) throw error
    problems.refuse(path, error.message, 'write for example app=web,tier=front')
    return ''
  }
}

/** `daemonSet`, `DaemonSet` and `daemonset` are one; `KIND` is the old word for any. */
function kindOf(written: string, path: string, problems: Problems): WorkloadKind | null {
  if (written === 'KIND') return 'any'
  if (written !== '') return problems.oneOf(path, written, workloadKinds)
  problems.refuse(path, 'it is missing', `use one of: ${workloadKinds.join(', ')}`)
  return null
}

type Written = { kind: string; namespace: string; names: unknown; labels: unknown }

/** Labels as text; a list of them is one selector. What is given and says nothing is refused. */
function labelsOf(value: unknown, path: string, problems: Problems): string {
  const text = Array.isArray(value) ? value.map(asText).join(',') : asText(value)
  if (isBlank(text)) refuseBlank(path, problems)
  return isBlank(text) ? '' : checkedSelector(text, path, problems)
}

function workload(
  written: Written,
  at: At & { paths: Record<keyof Written, string> },
): WorkloadSelector[] {
  const { paths, problems } = at
  const before = problems.refusals.length
  const kind = kindOf(written.kind.trim(), paths.kind, problems)
  const of = kind === 'pod' || kind === 'any' ? 'pod' : 'workload'
  const names = nameList(written.names, of, { path: paths.names, problems })
  const labels = labelsOf(written.labels, paths.labels, problems)
  const namespace = written.namespace.trim()
  if (namespace === '')
    problems.refuse(paths.namespace, 'it is missing', 'write the namespace of the targets')
  checkName(namespace, 'namespace', { path: paths.namespace, problems })
  if (problems.refusals.length > before) return []
  if (names.length === 0 && labels === '' && kind !== null && kind !== 'any')
    problems.refuse(
      at.path,
      'neither names nor labels are given, and that would be every workload of the namespace',
      'give names or labels, or write kind: any if every pod of the namespace is meant',
    )
  return kind === null ? [] : [{ kind, namespace, names, labels }]
}

const below = (path: string): Record<keyof Written, string> => ({
  kind: `${path}.kind`,
  namespace: `${path}.namespace`,
  names: `${path}.names`,
  labels: `${path}.labels`,
})

const asText = (value: unknown): string =>
  value === null || value === undefined ? '' : String(value)

function fromSelectors(selectors: Json, at: At): WorkloadSelector[] {
  const { problems } = at
  refuseUnknown(selectors, { ...at, known: ['workloads', 'pods'] })
  const list = (key: string): [number, Json][] => {
    const entries = Array.isArray(selectors[key]) ? (selectors[key] as unknown[]) : []
    return [...entries.entries()].filter((pair): pair is [number, Json] => isObject(pair[1]))
  }
  const workloads = list('workloads').flatMap(([i, entry]) => {
    const path = `${at.path}.workloads[${i}]`
    refuseUnknown(entry, { path, known: ['kind', 'namespace', 'names', 'labels'], problems })
    const { kind, namespace, names, labels } = entry
    return workload(
      { kind: asText(kind), namespace: asText(namespace), names, labels },
      { path, problems, paths: below(path) },
    )
  })
  const pods = list('pods').flatMap(([i, entry]) => {
    const path = `${at.path}.pods[${i}]`
    refuseUnknown(entry, { path, known: ['namespace', 'names'], problems })
    const written = {
      kind: 'pod',
      namespace: asText(entry['namespace']),
      names: entry['names'],
      labels: '',
    }
    return workload(written, { path, problems, paths: below(path) })
  })
  return [...workloads, ...pods]
}

function fromEnv(
  values: Tunables,
  at: At & { pathOf: (name: string) => string },
): WorkloadSelector[] {
  const [kind, namespace, names, labels] = workloadNames
  if (workloadNames.every((name) => textOf(values, name) === '')) return []
  return workload(
    {
      kind: textOf(values, kind),
      namespace: textOf(values, namespace),
      names: textOf(values, names),
      labels: textOf(values, labels),
    },
    {
      path: at.pathOf(kind),
      problems: at.problems,
      paths: {
        kind: at.pathOf(kind),
        namespace: at.pathOf(namespace),
        names: at.pathOf(names),
        labels: at.pathOf(labels),
      },
    },
  )
}

/** A control plane may write its targets in both places; two that differ would leave one of them unheard. */
function refuseTwoTargets(direct: WorkloadSelector[], inEnv: WorkloadSelector[], at: At): void {
  const [one] = inEnv
  if (!one || direct.length === 0) return
  const same = direct.length === 1 && JSON.stringify(direct[0]) === JSON.stringify(one)
  if (!same)
    at.problems.refuse(
      at.path,
      'the TARGET_WORKLOAD_ tunables name other targets than selectors does',
      'name the targets once',
    )
}

/** What the fault is aimed at. */
type Aim = Pick<FaultDefinition, 'targets' | 'kinds'>

const nodeNames = ['TARGET_NODE', 'TARGET_NODES'] as const

function refuseKinds(workloads: WorkloadSelector[], { kinds }: Aim, at: At): void {
  const other = kinds && workloads.find((w) => !kinds.includes(w.kind))
  if (other)
    at.problems.refuse(
      `${at.path}.selectors.workloads`,
      `this fault cannot be aimed at kind ${other.kind}`,
      `use one of: ${kinds.join(', ')}`,
    )
}

/** What a task of a KubernetesChaosExperiment is aimed at. `at.path` is the path of `targets`. */
export function selectionOf(
  targets: unknown,
  values: Tunables,
  at: At & Aim & { pathOf: (name: string) => string; share: 'one' | number },
): Selection {
  const { path, problems, pathOf, share } = at
  const written = isObject(targets) ? targets : {}
  refuseUnknown(written, { path, known: ['selectors', 'application', 'mode'], problems })
  if (!saysNothing(written['application']))
    problems.refuse(
      `${path}.application`,
      'faults inside an instrumented application are not built',
      'leave it out and select workloads',
    )
  const before = problems.refusals.length
  const selectors = isObject(written['selectors']) ? written['selectors'] : {}
  const direct = fromSelectors(selectors, { path: `${path}.selectors`, problems })
  const inEnv = fromEnv(values, { path, problems, pathOf })
  refuseTwoTargets(direct, inEnv, { path: pathOf('TARGET_WORKLOAD_KIND'), problems })
  const workloads = direct.length > 0 ? direct : inEnv
  const namesIn = (name: string, of: NameOf): string[] =>
    nameList(textOf(values, name), of, { path: pathOf(name), problems })
  const pods = namesIn('TARGET_PODS', 'pod')
  const ofNodes = at.targets === 'nodes'
  const nodes = ofNodes ? nodeNames.flatMap((name) => namesIn(name, 'node')) : []
  const nodesGiven = ofNodes && (nodes.length > 0 || textOf(values, 'NODE_LABEL') !== '')
  if (workloads.length === 0 && !nodesGiven && problems.refusals.length === before)
    problems.refuse(
      `${path}.selectors.workloads`,
      'no target is given',
      ofNodes
        ? 'name nodes in TARGET_NODE or TARGET_NODES, or select them by NODE_LABEL, or select a workload whose node is meant'
        : 'write kind, namespace and names or labels of a workload',
    )
  refuseKinds(workloads, at, { path, problems })
  if (pods.length > 0 && at.targets === 'workloads')
    problems.refuse(
      pathOf('TARGET_PODS'),
      'this fault acts on workloads, not on pods',
      'leave it out and name the workload',
    )
  return {
    workloads,
    pods,
    nodes,
    nodeLabel: checkedSelector(textOf(values, 'NODE_LABEL'), pathOf('NODE_LABEL'), problems),
    container: checkName(textOf(values, 'TARGET_CONTAINER'), 'container', {
      path: pathOf('TARGET_CONTAINER'),
      problems,
    }),
    share,
  }
}
