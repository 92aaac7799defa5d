import {
  commonTunables,
  nodeTunables,
  podTunables,
  workloadTunables,
} from '../model/compile/tunables.ts'
import type { FaultDefinition } from '../model/fault.ts'

const cell = (text: string): string => text.replaceAll('|', '\\|')

const names = (names: readonly string[]): string =>
  names.length > 0 ? names.map((n) => `\`${n}\``).join(', ') : 'none'

type Targets = FaultDefinition['targets']

const about = (fault: FaultDefinition): string[] => {
  const where = fault.hands === 'kube' ? 'through the API, no pod' : 'a fault pod on the node'
  const lasts = fault.lasts === 'instant' ? 'strikes at intervals' : 'held, then put back'
  return [
    `* In a \`KubernetesChaosExperiment\`: ${names(fault.names.litmus)}; in a \`ChaosExperiment\`: ${names(fault.names.chaosplane)}.`,
    `* Aimed at ${fault.targets}. Works: ${where}; ${lasts}. Default duration ${fault.defaults.durationMs / 1000} s.`,
    `* Capabilities of the fault pod: ${fault.capabilities.length > 0 ? fault.capabilities.join(', ') : 'none'}.`,
    `* Example: [examples/${fault.id}.yaml](../examples/${fault.id}.yaml); more in [its folder](../runner/faults/${fault.id}/README.md).`,
  ]
}

function section(fault: FaultDefinition): string[] {
  return [
    '',
    `## ${fault.id}`,
    '',
    `${fault.title}.`,
    '',
    ...about(fault),
    '',
    '| Tunable | Written in | Default | Meaning |',
    '| --- | --- | --- | --- |',
    ...fault.tunables.map(
      (t) =>
        `| \`${t.name}\` | ${t.dialect === 'litmus' ? 'KubernetesChaosExperiment, `env`' : 'ChaosExperiment, `action.parameters`'} | ${cell(t.default) || '(none)'} | ${cell(t.text)} |`,
    ),
    '',
    '| Right of the experiment’s account | Why |',
    '| --- | --- |',
    ...fault.permissions.map(
      (p) =>
        `| ${p.verbs.join(', ')} ${p.resource}${p.group ? `.${p.group}` : ''} | ${cell(p.why)} |`,
    ),
  ]
}

type Tunable = { name: string; default: string; text: string }

const table = (tunables: readonly Tunable[]): string[] => [
  '',
  '| Tunable | Default | Meaning |',
  '| --- | --- | --- |',
  ...tunables.map((t) => `| \`${t.name}\` | ${t.default || '(none)'} | ${cell(t.text)} |`),
]

/** How the targets of one kind are chosen, with the faults that have such targets. */
const choices: readonly { of: string; targets: Targets[]; tunables: readonly Tunable[] }[] = [
  { of: 'pods', targets: ['pods', 'containers'], tunables: podTunables },
  { of: 'nodes', targets: ['nodes'], tunables: nodeTunables },
  { of: 'workloads', targets: ['workloads'], tunables: workloadTunables },
]

const choicesOf = (faults: readonly FaultDefinition[]): string[] =>
  choices.flatMap(({ of, targets, tunables }) => {
    const ids = faults.filter((fault) => targets.includes(fault.targets)).map(({ id }) => id)
    return [
      '',
      `### Faults on ${of}`,
      '',
      `For ${names(ids)}, beside those above:`,
      ...table(tunables),
    ]
  })

/** The catalogue of all faults, docs/faults.md. */
export const faultsPage = (faults: readonly FaultDefinition[]): string =>
  [
    '<!-- Written by `npm run generate` from runner/faults; do not edit. -->',
    '# Faults',
    '',
    'A tunable that is not set, or set to an empty text, has its default. Plain numbers are seconds; `30s`, `1m30s` and `500ms` are understood too.',
    '',
    '## Common to all',
    '',
    'In the `env` of a task of a `KubernetesChaosExperiment`:',
    ...table(commonTunables),
    ...choicesOf(faults),
    '',
    'A `ChaosExperiment` takes its duration from `spec.action.duration`, else from `spec.duration`, and hits every pod or node that `spec.target` matches; where those are pods, it understands `containerName` (or `container`) among its parameters.',
    ...faults.flatMap(section),
    '',
  ].join('\n')
