import * as z from 'zod'
import { rehearsalSchema } from './dry-run.ts'
import { errorCodes } from './errors.ts'

/**
 * The folded, bounded snapshot of a run, as it stands in `status.run` of the resource (written by the runner alone).
 * Times are unix milliseconds here; `0` never occurs, absent means «not yet».
 */
const millis = z.int().min(1).describe('Unix time in milliseconds.')

export const troubleSchema = z.object({
  code: z.enum(errorCodes).describe('Error code, the same as in executionData.'),
  reason: z.string().max(2048).describe('What went wrong and what to do next.'),
  target: z.string().optional().describe('The target that it concerns.'),
})

export const targetStates = [
  'targeted',
  'injected',
  'reverted',
  'lost',
  'failed',
  'owed',
  'untouched',
  'abandoned',
] as const
export const targetOutcomes = ['restored', 'changedElsewhere', 'noLongerExists'] as const
export type TargetOutcome = (typeof targetOutcomes)[number]
export const targetSchema = z
  .object({
    id: z
      .string()
      .describe('namespace/pod, namespace/pod/container, node/name, or kind/namespace/name.'),
    kind: z.string().max(63).describe('Pod, Node, or the kind of a workload.'),
    namespace: z.string().describe('Namespace of the target, empty for a node.'),
    name: z.string().describe('Name of the target.'),
    uid: z
      .string()
      .describe('UID of the target: nothing is ever done to another object of the same name.'),
    container: z.string().optional().describe('Name of the container.'),
    containerId: z.string().optional().describe('Id of the container without its runtime prefix.'),
    node: z.string().optional().describe('Node that the pod runs on.'),
    wave: z.int().min(0).describe('Targets of one wave are hit together.'),
    state: z
      .enum(targetStates)
      .describe(
        'targeted: recorded, its turn has not come; injected: the effect was seen; reverted: proven to be as before; lost: the effect ended early; failed: not injected; owed: the revert has not succeeded yet; untouched: the task ended before its turn, nothing was done to it; abandoned: it could not be put back, and somebody gave that up.',
      ),
    plannedAt: millis
      .optional()
      .describe('When it was recorded how to put it back; nothing was done to it before.'),
    round: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Counts the records of one target after the first: one for each time that it is hit again.',
      ),
    holdMs: z
      .int()
      .min(1)
      .optional()
      .describe(
        'How long this record is to be held, when that is not the whole duration, milliseconds.',
      ),
    until: millis
      .optional()
      .describe('When the hold of the whole ends: one that came later is not held beyond it.'),
    cut: z.boolean().optional().describe('The effect ended before its time.'),
    suspended: z
      .boolean()
      .optional()
      .describe('A pause ends this record; what is left of its hold is another record.'),
    injectedAt: millis.optional(),
    endsAt: millis.optional().describe('Deadline that the node itself keeps.'),
    revertedAt: millis.optional(),
    heldMs: z
      .int()
      .min(0)
      .optional()
      .describe(
        'How long the effect lasted, milliseconds. Without injectedAt: it may have been hit, for no longer than this.',
      ),
    evidence: z.string().max(512).optional().describe('How the effect was seen.'),
    proof: z.string().max(512).optional().describe('How the revert was proven.'),
    outcome: z
      .enum(targetOutcomes)
      .optional()
      .describe(
        'restored: as before; changedElsewhere: somebody else changed it meanwhile, and that was left alone; noLongerExists: the target is gone.',
      ),
    undo: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('How it was before, and what was to be done: stored before the act.'),
    remaining: z
      .array(z.string())
      .max(20)
      .optional()
      .describe('Commands that remain to be run by hand.'),
  })
  .describe('One target and what happened to it.')
export type TargetState = z.infer<typeof targetSchema>

const endStates = new Set<TargetState['state']>(['reverted', 'failed', 'untouched', 'abandoned'])

/** Nothing more will happen to this target: nothing is owed any more, or what is owed was given up. */
export const isEnded = (target: TargetState): boolean => endStates.has(target.state)

/** A target in one of these states is not yet proven to be as before. */
export const openStates: readonly TargetState['state'][] = ['injected', 'lost', 'owed']

/** Targets that are not yet proven to be as before. */
export const openTargets = ({ tasks }: Pick<RunState, 'tasks'>): TargetState[] =>
  tasks.flatMap(({ targets }) => targets.filter(({ state }) => openStates.includes(state)))

/** Tells the records of one target apart, in facts and on the node: the id, and from the second record on its number. */
export const recordKey = ({ id, round }: Pick<TargetState, 'id' | 'round'>): string =>
  round ? `${id}#${round}` : id

/** A pause has ended this record, and what is left of its hold is not another record yet. */
export const mayContinue = (
  target: TargetState,
  { targets }: { targets: TargetState[] },
): boolean =>
  target.suspended === true &&
  !targets.some((t) => t.id === target.id && (t.round ?? 0) > (target.round ?? 0))

export const probeVerdicts = ['Awaited', 'Passed', 'Failed', 'N/A'] as const
export const probeStateSchema = z
  .object({
    name: z.string().describe('Name of the probe.'),
    type: z.string().describe('httpProbe, cmdProbe or k8sProbe.'),
    mode: z.string().describe('SOT, EOT, Edge, Continuous or OnChaos.'),
    verdict: z
      .enum(probeVerdicts)
      .describe('Passed, Failed, Awaited, or N/A when it was never evaluated.'),
    description: z.string().max(1024).describe('What the last evaluation saw.'),
    pre: z.enum(['passed', 'failed', 'error']).optional().describe('Outcome before chaos.'),
    during: z.enum(['passed', 'failed', 'error']).optional().describe('Outcome while chaos ran.'),
    post: z.enum(['passed', 'failed', 'error']).optional().describe('Outcome after chaos.'),
    evaluations: z.int().min(0).describe('How often it was evaluated.'),
    trouble: troubleSchema.optional().describe('What went wrong first.'),
  })
  .describe('One probe of the task and its outcome.')
export type ProbeState = z.infer<typeof probeStateSchema>

/** The stages of a task, in order. */
export const stages = [
  'pending',
  'preparing',
  'pre-probes',
  'ramp-up',
  'chaos',
  'reverting',
  'ramp-down',
  'post-probes',
  'done',
] as const
export type Stage = (typeof stages)[number]

export const taskStateSchema = z
  .object({
    name: z.string().describe('Name of the task.'),
    fault: z.string().describe('Fault as written.'),
    weight: z.int().min(1).max(10).describe('Share in the resilience score.'),
    stage: z.enum(stages).describe('Where the task stands.'),
    startedAt: millis.optional(),
    stageAt: millis
      .optional()
      .describe('When the stage began, moved by the time that it was paused since.'),
    checked: z.boolean().optional().describe('The health check after chaos passed.'),
    closed: z
      .boolean()
      .optional()
      .describe('The fault pods have reported everything and are gone.'),
    dynamic: z
      .boolean()
      .optional()
      .describe('What the selection finds while the fault is held is hit too.'),
    rehearsal: rehearsalSchema.optional(),
    prepared: z
      .boolean()
      .describe('Targets are recorded and, for node-level faults, fault pods were asked for.'),
    chaosAt: millis
      .optional()
      .describe('When chaos began, moved by the time that it was paused since.'),
    chaosEndedAt: millis.optional(),
    finishedAt: millis.optional(),
    wave: z.int().min(0).describe('The next wave to be sent.'),
    injections: z.int().min(0).describe('Injections so far, also those no longer in targets.'),
    targets: z.array(targetSchema).max(200).describe('At most the 200 newest targets.'),
    capped: z
      .string()
      .max(512)
      .optional()
      .describe('Targets that came later and were not hit, and by which limit.'),
    dropped: z
      .int()
      .min(0)
      .optional()
      .describe('Records of targets that are done with and for which status had no room any more.'),
    probes: z.array(probeStateSchema).max(50).describe('The probes of the task.'),
    acknowledged: z
      .record(z.string(), z.int())
      .describe('Last stored event of each fault pod, by node.'),
    trouble: troubleSchema.optional().describe('What went wrong first.'),
    stopped: z.string().max(512).optional().describe('Why the task was ended before its time.'),
    skipped: z.boolean().optional().describe('Never begun.'),
    pods: z
      .array(z.string())
      .max(200)
      .describe('The newest fault pod of each node that this task has had one on.'),
    streamPosition: z.int().min(0).describe('Last position in the task log that was given out.'),
  })
  .describe('One task of the run.')
export type TaskState = z.infer<typeof taskStateSchema>

/** Why a run was refused, as a word: the reason of the condition `Refused`. */
export const refusalKinds = ['InvalidSpec', 'Protected', 'Halted'] as const
export type RefusalKind = (typeof refusalKinds)[number]

export const runStateSchema = z
  .object({
    runId: z.string().describe('Id of the run; in executionData the workflowRunID.'),
    notifyId: z.string().describe('Notification id of kserver, empty when none is known.'),
    runner: z.string().describe('Pod of the runner that carries this run out.'),
    instance: z.string().describe('Life of that runner: changes when it restarts.'),
    generation: z.int().describe('Generation of the spec that is carried out.'),
    document: z
      .string()
      .max(64)
      .optional()
      .describe(
        'Mark of what the document asks for: a runner that takes the run over ends it when the document has another one.',
      ),
    seed: z.int().min(0).describe('Seed of the random target choice.'),
    startedAt: millis,
    finishedAt: millis.optional(),
    abort: z
      .object({
        by: z.string().describe('Who or what ended it.'),
        at: millis,
        rollback: z
          .boolean()
          .optional()
          .describe('An abort condition that asks for rollback: the run counts as completed.'),
      })
      .optional()
      .describe('Who ended the run early, and when.'),
    paused: z
      .object({
        by: z.string().describe('Who or what paused it.'),
        since: millis,
        goesOn: z
          .array(z.string())
          .max(100)
          .describe(
            'Tasks that strike at once: what they have begun cannot be paused and goes on.',
          ),
      })
      .optional()
      .describe('Who paused the run, and since when. Nothing is injected while it is paused.'),
    pauses: z.int().min(1).optional().describe('How often the run was paused.'),
    pausedMs: z
      .int()
      .min(0)
      .optional()
      .describe('Length of all pauses that are over, milliseconds.'),
    abandoned: z
      .object({ reason: z.string().max(512).describe('Why.'), at: millis })
      .optional()
      .describe('Somebody gave up what could not be put back; the targets say what is left.'),
    refused: z
      .array(
        z.object({
          path: z.string().describe('The field.'),
          reason: z.string().describe('What is wrong with it.'),
          suggestion: z.string().describe('What would be right.'),
        }),
      )
      .max(20)
      .optional()
      .describe('Why the document was refused.'),
    dryRun: z.boolean().optional().describe('Nothing was done: the tasks say what a run would do.'),
    refusedAs: z
      .enum(refusalKinds)
      .optional()
      .describe(
        'InvalidSpec, when absent; Protected: it aims at what nothing may be done to; Halted: the kill switch was pulled.',
      ),
    notes: z.array(z.string()).max(50).describe('Accepted but not used.'),
    tasks: z.array(taskStateSchema).max(100).describe('The tasks of the run.'),
    stopped: z.boolean().optional().describe('A probe with stopOnFailure ended the run.'),
    broken: z
      .boolean()
      .optional()
      .describe('Something that every task needs is missing: nothing more is begun.'),
    edited: z
      .boolean()
      .optional()
      .describe(
        'The run was ended because its document had been edited: a runner that took it over could not know what it was to do.',
      ),
    shortened: z
      .boolean()
      .optional()
      .describe('Texts in here were cut, for status had no room for them.'),
    adoptions: z.int().min(0).describe('How often another runner took the run over.'),
    previousRunIds: z
      .array(z.string())
      .max(50)
      .describe('Run ids that were used on this resource.'),
  })
  .describe('State of the run, written by the runner.')
export type RunState = z.infer<typeof runStateSchema>
