import * as z from 'zod'
import { anything, cel, flag, listOf, text } from './pieces.ts'

/** Group, version, names of the resource. */
export const chaosExperimentNames = {
  group: 'chaos.chaosplane.io',
  version: 'v1alpha1',
  kind: 'ChaosExperiment',
  plural: 'chaosexperiments',
  singular: 'chaosexperiment',
  shortNames: ['ce'],
} as const

const durationRule = {
  rule: "type(self) == int ? self > 0 : string(self).matches('^([0-9]+(\\\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^[0-9]+(\\\\.[0-9]+)?$')",
  message: 'must be a duration such as 30s, 5m or 1h, or a number of seconds',
}

const duration = (description: string) =>
  z
    .union([z.string().max(64), z.int()])
    .meta({ 'x-kubernetes-int-or-string': true, ...cel(durationRule) })
    .describe(description)

const expression = z
  .looseObject({
    key: z.string().max(317).describe('Label key.'),
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']).describe('How it is compared.'),
    values: listOf(z.string().max(63), 100, 'Values for In and NotIn.'),
  })
  .describe('One condition on a label.')

const target = z
  .looseObject({
    kind: z.enum(['Pod', 'Node']).describe('What is hit: Pod or Node.'),
    namespace: z.string().max(63).optional().describe('Namespace of the pods.'),
    labelSelector: z
      .looseObject({
        matchLabels: z
          .record(z.string(), z.string().max(63))
          .nullish()
          .describe('Labels that must all be there.'),
        matchExpressions: listOf(expression, 50, 'Conditions that must all hold.'),
      })
      .nullish()
      .describe('Every pod that matches is hit.'),
    names: listOf(
      z.string().max(253),
      200,
      'Names; when given, labelSelector is not used. One that is missing fails the experiment.',
    ),
  })
  .meta(
    cel(
      {
        rule: "self.kind != 'Pod' || (has(self.namespace) && self.namespace != '')",
        message: 'target.namespace is needed when target.kind is Pod',
      },
      {
        rule: '(has(self.names) && size(self.names) > 0) || has(self.labelSelector)',
        message: 'either target.names or target.labelSelector is needed',
      },
    ),
  )
  .describe('What the action is aimed at.')

const condition = anything('For k8s: minReady. For prometheus: operator and threshold.')

const probeFields = {
  name: text('Name of the probe.', 253),
  type: text('http or k8s.', 63),
  http: z
    .looseObject({
      url: text('URL.'),
      method: text('GET (default), POST, HEAD or PUT.', 16),
      expectedStatus: z.int().nullish().describe('Status code that is expected; default 200.'),
      expectedBody: text('Text that the body must contain.'),
    })
    .nullish()
    .describe('An HTTP request.'),
  k8s: z
    .looseObject({
      resource: text('Resource, for example pods, deployments or nodes.', 253),
      namespace: text(
        'Namespace; default: the one of the target. Not for cluster-scoped resources.',
        63,
      ),
      labelSelector: text('Label selector.'),
      fieldSelector: text('Field selector.'),
      condition,
    })
    .nullish()
    .describe('Objects in the cluster.'),
  prometheus: z
    .looseObject({ url: text('Base URL.'), query: text('Query.'), condition })
    .nullish()
    .describe('A Prometheus query.'),
}

const probe = z.looseObject(probeFields).describe('One probe.')
const abortCondition = z
  .looseObject({
    ...probeFields,
    action: text('What happens when the probe is true: abort (default), pause or rollback.', 16),
  })
  .describe('A bad state that ends the experiment.')

const action = z
  .looseObject({
    type: z.string().min(1).max(253).describe('Name of the action, for example pod-kill.'),
    parameters: anything('Parameters of the action; text, numbers or true and false.'),
    duration: duration('Overrides spec.duration.').optional(),
  })
  .describe('What is done.')

const spec = z
  .looseObject({
    target,
    action,
    duration: duration('How long the action lasts, for example 30s, 5m or 1h.'),
    rollback: z
      .looseObject({
        enabled: flag('Not read: what was done is always undone.'),
        timeout: anything('Not read: undoing is retried until it has succeeded.'),
      })
      .nullish()
      .describe('Accepted and not used: what was done is always undone.'),
    execution: z
      .looseObject({
        parallelism: z.int().nullish().describe('Not read: all targets are hit together.'),
        targets: text(
          'static (default): the targets chosen before the fault; dynamic: also those that come while it is held.',
          16,
        ),
      })
      .nullish()
      .describe('How it is carried out.'),
    steadyState: z
      .looseObject({
        before: listOf(probe, 20, 'Must hold before anything is done.'),
        after: listOf(probe, 20, 'Must hold again afterwards.'),
        recoveryTimeout: duration(
          'How long the probes of after may take to hold again; default 5m.',
        ).nullish(),
      })
      .nullish()
      .describe('What a healthy system looks like.'),
    abortConditions: listOf(abortCondition, 20, 'States in which the experiment is ended.'),
  })
  .describe('The experiment.')

/** What a user may write, as it is stored. */
export const chaosExperimentSchema = z.object({ spec })
export type ChaosExperimentInput = z.infer<typeof chaosExperimentSchema>
