import * as z from 'zod'
import { errorCodes } from '../errors.ts'
import { runStateSchema } from '../state.ts'

/** Phases of a KubernetesChaosExperiment. */
export const kubernetesChaosExperimentPhases = [
  'Pending',
  'Running',
  'Completed',
  'Completed_With_Probe_Failure',
  'Completed_With_Error',
  'Stopped',
  'Error',
  'Failed',
] as const
export type KubernetesChaosExperimentPhase = (typeof kubernetesChaosExperimentPhases)[number]

/** Phases of a ChaosExperiment. */
export const chaosExperimentPhases = [
  'Pending',
  'SteadyStateChecking',
  'Running',
  'Completing',
  'Recovering',
  'Completed',
  'Failed',
  'Aborted',
] as const
export type ChaosExperimentPhase = (typeof chaosExperimentPhases)[number]

/** Phases of one task. */
export const taskPhases = [
  'Pending',
  'Running',
  'Completed',
  'Completed_With_Probe_Failure',
  'Stopped',
  'Skipped',
  'Error',
] as const
export type TaskPhase = (typeof taskPhases)[number]

/** Verdicts of a run; N/A: it was a dry run, or the task was never begun. A task may also have none yet. */
export const runVerdicts = ['Awaited', 'Pass', 'Fail', 'Stopped', 'Error', 'N/A'] as const
export type RunVerdict = (typeof runVerdicts)[number]
export const taskVerdicts = ['', ...runVerdicts] as const
export type TaskVerdict = (typeof taskVerdicts)[number]

const moment = (description: string) => z.iso.datetime().optional().describe(description)
const count = (description: string) => z.int().min(0).optional().describe(description)

export const conditionSchema = z
  .object({
    type: z.string().max(316).describe('Type of the condition.'),
    status: z.enum(['True', 'False', 'Unknown']).describe('Whether it holds.'),
    reason: z.string().max(1024).describe('One word for the reason.'),
    message: z.string().max(32768).describe('The reason in words.'),
    lastTransitionTime: z.iso.datetime().describe('When status last changed.'),
    observedGeneration: z.int().min(0).optional().describe('Generation of the spec that was seen.'),
  })
  .describe('One condition.')
export type Condition = z.infer<typeof conditionSchema>

export const taskSummarySchema = z
  .object({
    name: z.string().max(253).describe('Name of the task.'),
    fault: z.string().max(253).describe('Fault as written.'),
    phase: z.enum(taskPhases).describe('Where the task stands.'),
    verdict: z.enum(taskVerdicts).describe('Pass, Fail, Stopped, Error, Awaited, N/A or empty.'),
    probeSuccessPercentage: z.string().max(8).describe('Share of its probes that passed.'),
    errorCode: z.enum(['', ...errorCodes]).describe('Code of what went wrong, or empty.'),
    failStep: z.string().max(2200).describe('What went wrong and what to do next, or empty.'),
  })
  .describe('One task in short; status.run.tasks has everything.')
export type TaskSummary = z.infer<typeof taskSummarySchema>

const operatorFields = {
  verdict: z
    .enum(['', ...runVerdicts])
    .optional()
    .describe('Verdict of the run.'),
  resiliencyScore: z
    .number()
    .min(0)
    .max(100)
    .optional()
    .describe('Sum of weight times probe success over the sum of weights, 0 to 100.'),
  probeSuccessPercentage: z
    .string()
    .max(8)
    .optional()
    .describe('Share of all probes that passed, percent.'),
  progress: z.string().max(16).optional().describe('Tasks that are done, of all tasks.'),
  message: z.string().max(4096).optional().describe('What happened, in words.'),
  startTime: moment('When the run began.'),
  endTime: moment('When everything was done and put back.'),
  recoveryStartTime: moment('When the fault had ended and recovery began.'),
  observedGeneration: count('Generation of the spec that this status speaks of.'),
  conditions: z
    .array(conditionSchema)
    .max(20)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
    .describe('Progressing, Available, Degraded; FieldsIgnored; Stuck.'),
  affectedResources: z
    .array(z.string().max(600))
    .max(200)
    .optional()
    .describe('What was touched, as Kind/namespace/name; at most 200.'),
  experimentRunId: z.string().max(253).optional().describe('Id of the run.'),
  faultsPassed: count('Tasks with verdict Pass.'),
  faultsFailed: count('Tasks with verdict Fail.'),
  faultsAwaited: count('Tasks with verdict Awaited.'),
  faultsStopped: count('Tasks with verdict Stopped.'),
  faultsNA: count('Tasks without a verdict.'),
  totalFaults: count('All tasks.'),
  tasks: z.array(taskSummarySchema).max(100).optional().describe('The tasks in short.'),
  // Atomic: the runner sends the whole of it, and nobody else may own a part.
  // Fields of a newer runner must not make its writes fail under an older CRD.
  run: runStateSchema.optional().meta({
    'x-kubernetes-map-type': 'atomic',
    'x-kubernetes-preserve-unknown-fields': true,
  }),
}

const withPhase = <const P extends readonly [string, ...string[]]>(phases: P) =>
  z
    .object({
      phase: z
        .enum(phases)
        .optional()
        .describe(`Where the run stands: ${phases.join(', ')}.`),
      ...operatorFields,
    })
    .describe('What came of it: run is written by the runner, everything else by the operator.')

export const kubernetesChaosExperimentStatus = withPhase(kubernetesChaosExperimentPhases)
export const chaosExperimentStatus = withPhase(chaosExperimentPhases)
export type ExperimentStatus = z.infer<typeof kubernetesChaosExperimentStatus>
