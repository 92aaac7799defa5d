/** One requirement of a label selector. */
export type Requirement = {
  key: string
  operator: '=' | '!=' | 'in' | 'notin' | 'exists' | 'absent'
  values: string[]
}

/** Why a text is no label selector. */
export class BadSelector extends Error {
  constructor(text: string, why: string) {
    super(`${JSON.stringify(text)} is not a label selector: ${why}`)
    this.name = 'BadSelector'
  }
}

const key = '(?:[A-Za-z0-9][-A-Za-z0-9.]*/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?'
const value = '(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?'
const forms = {
  equality: new RegExp(`^(${key})\\s*(==|=|!=)\\s*(${value})$`),
  set: new RegExp(`^(${key})\\s+(in|notin)\\s*\\(([^()]*)\\)$`),
  exists: new RegExp(`^(!?)\\s*(${key})$`),
  value: new RegExp(`^${value}$`),
  key: new RegExp(`^${key}$`),
}

/** Splits at the commas that are not inside parentheses. */
function parts(text: string): string[] {
  const found: string[] = []
  let depth = 0
  let part = ''
  for (const letter of text) {
    if (letter === '(') depth++
    if (letter === ')') depth--
    if (letter === ',' && depth === 0) {
      found.push(part)
      part = ''
    } else part += letter
  }
  if (depth !== 0) throw new BadSelector(text, 'the parentheses do not match')
  return [...found, part].map((p) => p.trim())
}

function readRequirement(part: string, text: string): Requirement {
  const equality = forms.equality.exec(part)
  if (equality?.[1] !== undefined)
    return {
      key: equality[1],
      operator: equality[2] === '!=' ? '!=' : '=',
      values: [equality[3] ?? ''],
    }
  const set = forms.set.exec(part)
  if (set?.[1] !== undefined) {
    const values = (set[3] ?? '').split(',').map((v) => v.trim())
    if (!values.every((v) => forms.value.test(v)))
      throw new BadSelector(text, `the values in ${JSON.stringify(part)} are no label values`)
    return { key: set[1], operator: set[2] === 'in' ? 'in' : 'notin', values }
  }
  const exists = forms.exists.exec(part)
  if (exists?.[2] !== undefined)
    return { key: exists[2], operator: exists[1] === '!' ? 'absent' : 'exists', values: [] }
  throw new BadSelector(
    text,
    `${JSON.stringify(part)} is neither key=value nor a set such as key in (a,b)`,
  )
}

/** The requirements of a selector, all of which must hold; none for an empty text. Throws BadSelector. */
export function parseSelector(text: string): Requirement[] {
  if (text.trim() === '') return []
  return parts(text).map((part) => {
    if (part === '') throw new BadSelector(text, 'there is nothing between two commas')
    return readRequirement(part, text)
  })
}

/** Whether labels satisfy all requirements, as Kubernetes reads them. */
export function matches(
  requirements: readonly Requirement[],
  labels: Readonly<Record<string, string>>,
): boolean {
  return requirements.every((requirement) => holds(requirement, labels))
}

function holds(
  { key: name, operator, values }: Requirement,
  labels: Readonly<Record<string, string>>,
): boolean {
  const label = Object.hasOwn(labels, name) ? labels[name] : undefined
  switch (operator) {
    case '=':
    case 'in':
      return label !== undefined && values.includes(label)
    case '!=':
    case 'notin':
      return label === undefined || !values.includes(label)
    case 'exists':
      return label !== undefined
    case 'absent':
      return label === undefined
  }
}

type LabelSelector = {
  matchLabels?: Record<string, string> | null | undefined
  matchExpressions?:
    | { key: string; operator: string; values?: string[] | null | undefined }[]
    | null
    | undefined
}

/** Written into a text, a comma or a parenthesis would mean something else. */
function checkLabel(name: string, labels: readonly string[]): void {
  if (!forms.key.test(name)) throw new BadSelector(name, 'no label has such a key')
  const odd = labels.find((label) => !forms.value.test(label))
  if (odd !== undefined) throw new BadSelector(odd, `no label ${name} has such a value`)
}

/** The text form of a LabelSelector object; a selector of nothing gives an empty text. Throws BadSelector. */
export function selectorText({ matchLabels, matchExpressions }: LabelSelector): string {
  const parts = [
    ...Object.entries(matchLabels ?? {}).map(([name, label]): [string, string[]] => [
      name,
      [label],
    ]),
    ...(matchExpressions ?? []).map((e): [string, string[]] => [e.key, e.values ?? []]),
  ]
  for (const [name, labels] of parts) checkLabel(name, labels)
  const equalities = Object.entries(matchLabels ?? {}).map(([name, label]) => `${name}=${label}`)
  const sets = (matchExpressions ?? []).map(({ key: name, operator, values }) => {
    const list = (values ?? []).join(',')
    switch (operator) {
      case 'In':
      case 'NotIn':
        if ((values ?? []).length === 0) throw new BadSelector(name, `${operator} needs values`)
        return `${name} ${operator.toLowerCase()} (${list})`
      case 'Exists':
        return name
      case 'DoesNotExist':
        return `!${name}`
      default:
        throw new BadSelector(name, `there is no operator ${JSON.stringify(operator)}`)
    }
  })
  const text = [...equalities, ...sets].join(',')
  parseSelector(text)
  return text
}
