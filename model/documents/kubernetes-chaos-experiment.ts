import * as z from 'zod'
import { anything, cel, flag, listOf, span, text } from './pieces.ts'

/** Group, version, names of the resource. */
export const kubernetesChaosExperimentNames = {
  group: 'litmuschaos.io',
  version: 'v1alpha1',
  kind: 'KubernetesChaosExperiment',
  plural: 'kuberneteschaosexperiments',
  singular: 'kuberneteschaosexperiment',
  shortNames: ['kce'],
} as const

const workload = z
  .looseObject({
    kind: text(
      'Kind of the workload: deployment, statefulset, daemonset, replicaset, job, rollout, deploymentconfig, pod, or any for every pod that the labels match.',
      63,
    ),
    namespace: text('Namespace of the workload.', 63),
    names: text('Names, separated by commas.'),
    labels: text('Label selector; a comma means AND.'),
  })
  .describe('One set of targets; the sets of a task are united.')

const legacyPods = z
  .looseObject({
    namespace: text('Namespace of the pods.', 63),
    names: text('Names, separated by commas.'),
  })
  .describe('Pods by name.')

const targets = z
  .looseObject({
    selectors: z
      .looseObject({
        workloads: listOf(workload, 50, 'Workloads whose pods are the targets.'),
        pods: listOf(legacyPods, 50, 'Pods by name.'),
      })
      .nullish()
      .describe('What is hit.'),
    mode: text(
      'static (default): the targets chosen before the fault; dynamic: also those that come while it is held.',
      16,
    ),
    application: z
      .looseObject({
        name: text('Name of the instrumented application.'),
        function: text('Name of the function.'),
      })
      .nullish()
      .describe('Target inside an instrumented application; no fault that is built takes one.'),
  })
  .nullish()
  .describe('What the fault is aimed at.')

const envEntry = z
  .looseObject({
    name: text('Name of the tunable.', 256),
    value: anything('Value of the tunable; without a value the default counts.'),
  })
  .describe('One tunable of the fault.')

const runProperties = z
  .looseObject({
    probeTimeout: span('Limit of one try.'),
    interval: span('Pause between the tries of one evaluation.'),
    attempt: z.int().nullish().describe('Tries of one evaluation.'),
    retry: z.int().nullish().describe('Tries of one evaluation, when attempt is not set.'),
    probePollingInterval: span('Pause between the evaluations of a loop.'),
    initialDelay: span('Waited before the first evaluation.'),
    initialDelaySeconds: z.int().nullish().describe('The same in seconds.'),
    stopOnFailure: flag('true: a failure of this probe ends the run.'),
    verbosity: text('info or debug.', 16),
  })
  .nullish()
  .describe('How the probe is evaluated.')

const probe = z
  .looseObject({
    name: text('Name of the probe.', 253),
    type: text('httpProbe, cmdProbe or k8sProbe.', 63),
    mode: text('SOT, EOT, Edge, Continuous or OnChaos.', 63),
    'httpProbe/inputs': anything('Inputs of an httpProbe.'),
    'cmdProbe/inputs': anything('Inputs of a cmdProbe.'),
    'k8sProbe/inputs': anything('Inputs of a k8sProbe.'),
    runProperties,
  })
  .describe('A probe written into the experiment.')

const sidecar = z
  .looseObject({
    image: text('Image of the sidecar.', 1024),
    imagePullPolicy: text('When the image is pulled.', 32),
    secrets: anything('Secrets of the sidecar.'),
    envFrom: anything('Environment of the sidecar.'),
    env: anything('Environment of the sidecar.'),
  })
  .describe('A sidecar; the log watcher is accepted and not used, others are refused.')

const components = z
  .looseObject({
    resources: anything('Resources of the fault pod.'),
    tolerations: anything('Tolerations of the fault pod.'),
    imagePullSecrets: anything('Pull secrets of the fault pod.'),
    sidecar: listOf(sidecar, 20, 'Sidecars; a log watcher is accepted and not used.'),
    statusCheckTimeouts: z
      .looseObject({
        delay: z.int().nullish().describe('Seconds between two looks of the health check.'),
        timeout: z.int().nullish().describe('Seconds that it may take.'),
      })
      .nullish()
      .describe('Limits of the health check.'),
  })
  .nullish()
  .describe('Settings of the pods that are started for this task.')

const chaos = z
  .looseObject({
    experiment: text('Name of the fault, for example pod-delete.', 253),
    fault: text('The same, as newer documents write it.', 253),
    image: text('Accepted and not used: faults run in the image of this product.', 1024),
    imagePullPolicy: text('Accepted and not used.', 32),
    args: anything('Arguments of a fault of your own; refused unless empty.'),
    command: anything('Command of a fault of your own; refused unless empty.'),
    labels: anything('Labels of the pods that are started for this task.'),
    annotations: anything('Annotations of the pods that are started for this task.'),
    defaultHealthCheck: flag('true: targets must be running and ready before and after the fault.'),
    env: listOf(envEntry, 200, 'Tunables of the fault.'),
    probes: listOf(probe, 50, 'Probes written into the experiment.'),
    components,
  })
  .nullish()
  .describe('The fault and its tunables.')

const taskName = z
  .string()
  .max(63)
  .nullish()
  .meta(
    cel({
      rule: "self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
      message:
        'a task name becomes part of pod names: use lower-case letters, digits and -, at most 63, for example pod-delete-wm3',
    }),
  )
  .describe('Name of the task, unique in the experiment.')

const task = z
  .looseObject({
    name: taskName,
    definition: z
      .looseObject({ targets, chaos })
      .nullish()
      .describe('Targets, fault and tunables.'),
    probeRef: listOf(
      z
        .looseObject({
          probeID: text('Id of the probe: a key of the probe registry.', 253),
          mode: text('SOT, EOT, Edge, Continuous or OnChaos.', 63),
        })
        .describe('A probe of the registry.'),
      50,
      'Probes of the registry.',
    ),
    weight: z
      .int()
      .nullish()
      .describe('Share of the task in the resilience score, 1 to 10; 10 when not set.'),
    values: anything('Run-time values of a template; accepted and not used.'),
  })
  .describe('One task: a fault on its targets.')

const step = z
  .array(
    z
      .looseObject({
        name: text('Name of a task.', 63),
        status: text('Not read.', 63),
      })
      .describe('A task of the step.'),
  )
  .max(100)
  .describe('Tasks that run at the same time.')

const runId = z
  .string()
  .max(63)
  .nullish()
  .meta(
    cel({
      rule: "self == '' || self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
      message:
        'a run id becomes a label: use letters, digits, -, _ and ., beginning and ending with a letter or digit; or leave it empty and one is made',
    }),
  )
  .describe('Id of the run; empty: one is made. A run id starts one run only.')

const spec = z
  .looseObject({
    experimentId: text('Id of the experiment at the control plane.', 253),
    experimentRunId: runId,
    cleanupPolicy: z
      .enum(['delete', 'retain', ''])
      .nullish()
      .describe(
        'delete: pods that were started go away at the end; retain: they stay. Default delete.',
      ),
    serviceAccountName: text(
      'Service account, in the namespace of the experiment, whose rights are used on the targets.',
      253,
    ),
    steps: listOf(step, 100, 'Steps in series; the tasks of one step run at the same time.'),
    tasks: listOf(task, 100, 'The tasks.'),
  })
  .nullish()
  .describe('The experiment.')

/** What a user may write, as it is stored. Missing and odd parts are admitted here; the compiler says what is wrong with them. */
export const kubernetesChaosExperimentSchema = z.object({
  spec,
  variables: z
    .array(z.unknown())
    .max(200)
    .nullish()
    .describe('Variables of a template; accepted and not used.'),
})
export type KubernetesChaosExperimentInput = z.infer<typeof kubernetesChaosExperimentSchema>
