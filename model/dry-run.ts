import * as z from 'zod'

/** What a run would do is told in status; nothing is touched. */
export const dryRunAnnotation = 'chaos.chaosplane.io/dry-run'

export const isDryRun = (annotations: Record<string, string> | undefined): boolean =>
  ['true', 'yes', '1'].includes((annotations?.[dryRunAnnotation] ?? '').toLowerCase())

const commands = (description: string) =>
  z.array(z.string().max(2048)).max(50).describe(description)

/** What one task would do. */
export const rehearsalSchema = z
  .object({
    inject: commands(
      'Commands that would be run, `<…>` is found out on the node; none when they depend on what is there.',
    ),
    undo: commands('Commands that would put it back.'),
    rights: z
      .array(
        z.object({
          verb: z.string().max(63).describe('Verb.'),
          resource: z.string().max(253).describe('Resource, and its group when it has one.'),
          namespace: z.string().max(63).describe('Namespace; empty: everywhere.'),
          allowed: z.boolean().describe('Whether the account has it.'),
        }),
      )
      .max(100)
      .describe("Rights that the fault needs of the experiment's account."),
    limits: z
      .array(z.string().max(512))
      .max(20)
      .describe('Limits of the chart that count here, and where the task stands.'),
  })
  .describe('What the task would do; nothing was done.')
export type Rehearsal = z.infer<typeof rehearsalSchema>
