import type { Problems } from './problems.ts'

type At = { path: string; problems: Problems }

const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const subdomain = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

/** What a name names, and what Kubernetes lets it be called. */
const kinds = {
  namespace: { form: label, title: 'namespace' },
  container: { form: label, title: 'container' },
  pod: { form: subdomain, title: 'pod' },
  node: { form: subdomain, title: 'node' },
  workload: { form: subdomain, title: 'workload' },
  account: { form: subdomain, title: 'service account' },
} as const
export type NameOf = keyof typeof kinds

const letters = {
  label: 'lower-case letters, digits and -, at most 63',
  subdomain: 'lower-case letters, digits, - and ., at most 253',
}

function adviceFor(written: string, of: NameOf): string {
  if (/[*?[\]]/.test(written))
    return of === 'node' || of === 'pod' || of === 'workload'
      ? 'a name stands for itself, there are no wildcards: write every name, or select by labels'
      : 'a name stands for itself, there are no wildcards: write the name'
  if (written.includes('/')) return 'write the name alone, without its namespace or kind'
  const lower = written.toLowerCase()
  return lower !== written && kinds[of].form.test(lower)
    ? `did you mean ${lower}?`
    : `a name is made of ${kinds[of].form === label ? letters.label : letters.subdomain}`
}

/** Refuses what no object of the kind can be called. An empty name is somebody else's business. */
export function checkName(written: string, of: NameOf, { path, problems }: At): string {
  const { form, title } = kinds[of]
  if (written !== '' && !form.test(written)) {
    const shown = JSON.stringify(written.length > 80 ? `${written.slice(0, 80)}…` : written)
    problems.refuse(path, `no ${title} can be called ${shown}`, adviceFor(written, of))
  }
  return written
}

/** True for a text that stands there and says nothing: blanks, and commas with nothing between them. */
export const isBlank = (value: unknown): boolean =>
  typeof value === 'string' && value !== '' && /^[\s,]*$/.test(value)

/** What was written to narrow something must not be read as if it were not there. */
export function refuseBlank(path: string, problems: Problems): void {
  problems.refuse(
    path,
    'it is given and says nothing, and without it more would be meant',
    'write what is meant, or leave it out (an empty text counts as left out)',
  )
}

/**
 * The names in a comma list or a list, each of them once; none when nothing is given. What is given and names
 * nothing is refused, and so is what nothing can be called.
 */
export function nameList(value: unknown, of: NameOf, at: At): string[] {
  const given = Array.isArray(value) ? value.map(String) : [String(value ?? '')]
  const names = given.flatMap((part) => part.split(',')).map((part) => part.trim())
  const found = [...new Set(names.filter((name) => name !== ''))]
  if (found.length === 0 && (Array.isArray(value) ? value.length > 0 : given[0] !== ''))
    refuseBlank(at.path, at.problems)
  for (const name of found) checkName(name, of, at)
  return found
}
