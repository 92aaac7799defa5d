import type * as z from 'zod'
import { BadDuration, parseDuration } from '../duration.ts'
import type { Refusal } from '../plan.ts'
import { nearest, suggest } from '../suggest.ts'

/** What a compiler found out beside the plan: refusals end it, notes go along with it. */
export class Problems {
  readonly refusals: Refusal[] = []
  readonly notes: string[] = []

  refuse(path: string, reason: string, suggestion: string): void {
    this.refusals.push({ path, reason, suggestion })
  }

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text)
  }

  /** The value when it is one of the known words (case does not count), else a refusal. */
  oneOf<T extends string>(path: string, written: string, known: readonly T[]): T | null {
    const found = known.find((word) => word.toLowerCase() === written.toLowerCase())
    if (found !== undefined) return found
    this.refuse(path, `${JSON.stringify(written)} is not known here`, suggest(written, known))
    return null
  }

  /** Milliseconds, the default when unset, or null after a refusal. A bare number is noted to be seconds. */
  span(path: string, value: unknown, unset: number): number | null {
    if (value === null || value === undefined || value === '') return unset
    try {
      const ms = parseDuration(value)
      if (typeof value === 'number') this.note(`${path}: ${value} is read as ${value} seconds.`)
      return ms
    } catch (error) {
      if (!(error instanceof BadDuration)) throw error
      this.refuse(path, error.message, 'write a duration such as "30s"')
      return null
    }
  }
}

export type Json = Record<string, unknown>

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** null, '', false, {}, [] and lists or objects of nothing but these say nothing. */
export function saysNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '' || value === false) return true
  if (Array.isArray(value)) return value.every(saysNothing)
  return isObject(value) && Object.values(value).every(saysNothing)
}

/** Fields that nobody reads: a misspelling is refused, anything else is noted once. */
export function unknownKeys(
  value: Json,
  { path, known, problems }: { path: string; known: readonly string[]; problems: Problems },
): void {
  for (const key of Object.keys(value)) {
    if (known.includes(key) || saysNothing(value[key])) continue
    const meant = nearest(key, known)
    const at = path === '' ? key : `${path}.${key}`
    if (meant !== null)
      problems.refuse(at, `there is no field ${JSON.stringify(key)}`, `did you mean ${meant}?`)
    else problems.note(`${at} is not read.`)
  }
}

/** A field about targets that nobody reads may have been meant to narrow them: it is refused, whatever its name. */
export function refuseUnknown(
  value: Json,
  { path, known, problems }: { path: string; known: readonly string[]; problems: Problems },
): void {
  for (const key of Object.keys(value))
    if (!known.includes(key) && !saysNothing(value[key]))
      problems.refuse(
        `${path}.${key}`,
        'there is no such field here, and without it more might be hit than was meant',
        suggest(key, known),
      )
}

/** `spec.tasks[0].name` out of the parts of a path. */
export const pathText = (parts: readonly PropertyKey[]): string =>
  parts
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '')

/** What a schema complained of, with paths as users write them. */
export function schemaRefusals(error: z.ZodError, prefix = ''): Refusal[] {
  return error.issues.map(({ path, message }) => {
    const at = [prefix, pathText(path)].filter((part) => part !== '').join('.')
    return {
      path: at.replaceAll('.[', '['),
      reason: message.replace(/^Invalid input: /, ''),
      suggestion: 'write the field in the form that `kubectl explain` shows',
    }
  })
}

/** Deeper than anything that is read, and far from the end of the stack. */
const deepest = 100

/** What cannot be read as it is written: keys that objects of JavaScript do not show, and endless nesting. */
export function unreadable(doc: Json): Refusal[] {
  const found: Refusal[] = []
  const open: { value: unknown; path: string; depth: number }[] = [
    { value: doc, path: '', depth: 0 },
  ]
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, path, depth } = next
    if (depth > deepest)
      return [{ path, reason: 'it is nested too deeply', suggestion: 'write it flatter' }]
    const isList = Array.isArray(value)
    if (!isList && !isObject(value)) continue
    for (const [key, inner] of Object.entries(value)) {
      const at = isList ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
      if (key === '__proto__')
        found.push({
          path: at,
          reason: 'nothing can have this name, and readers pass over it',
          suggestion: 'leave it out',
        })
      else open.push({ value: inner, path: at, depth: depth + 1 })
    }
  }
  return found
}

/** Refuses a document of another kind or group before anything else is said about it. */
export function refuseOtherKind(
  doc: unknown,
  { apiVersion, kind }: { apiVersion: string; kind: string },
): Refusal[] {
  if (!isObject(doc))
    return [
      {
        path: 'apiVersion',
        reason:
          'this is not a document: an object with apiVersion, kind, metadata and spec is needed',
        suggestion: `begin with apiVersion: ${apiVersion} and kind: ${kind}`,
      },
    ]
  const wrong = unreadable(doc)
  for (const [path, right] of Object.entries({ apiVersion, kind })) {
    if (doc[path] === right) continue
    const written =
      doc[path] === undefined ? 'it is missing' : `${JSON.stringify(doc[path])} is not known`
    wrong.push({ path, reason: written, suggestion: `did you mean ${right}?` })
  }
  return wrong
}
