import * as z from 'zod'

/** Marks what only the CRD needs; the generator copies every key that begins with `x-kubernetes-`. */
export const cel = (
  ...rules: { rule: string; message: string; fieldPath?: string; reason?: string }[]
): Record<string, unknown> => ({ 'x-kubernetes-validations': rules })

/** A text that users also leave out or set to null. */
export const text = (description: string, max = 4096) =>
  z.string().max(max).nullish().describe(description)

/** A flag that users also leave out or set to null. */
export const flag = (description: string) => z.boolean().nullish().describe(description)

/** Seconds as a number, or a Go duration. */
export const span = (description: string) =>
  z
    .union([z.string().max(64), z.int()])
    .nullish()
    .meta({ 'x-kubernetes-int-or-string': true })
    .describe(
      `${description} Plain numbers are seconds; otherwise a duration such as 30s or 1m30s.`,
    )

/** Whatever stands there; the compiler says what becomes of it. */
export const anything = (description: string) =>
  z
    .unknown()
    .optional()
    .meta({ 'x-kubernetes-preserve-unknown-fields': true })
    .describe(description)

/** A list or null. */
export const listOf = <T extends z.ZodType>(item: T, max: number, description: string) =>
  z.array(item).max(max).nullish().describe(description)
