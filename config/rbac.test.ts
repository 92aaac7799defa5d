import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { Permission } from '../model/fault.ts'
import { faultCatalogue } from '../runner/faults/catalogue.generated.ts'
import { chartParts, fillMarks, rightsPage, rulesYaml, unite } from './rbac.ts'

type Rule = { apiGroups: string[]; resources: string[]; verbs: string[] }
type Role = { kind: string; metadata: { name: string }; rules: Rule[] }

const faults = Object.values(faultCatalogue)
const template = new URL('chart/templates/rbac.yaml', import.meta.url)
const page = new URL('../docs/rbac.md', import.meta.url)

/** Template lines are dropped: what is left of the roles is plain YAML. */
async function roles(): Promise<Role[]> {
  const text = await readFile(template, 'utf8')
  const plain = text
    .split('\n')
    .filter((line) => !line.includes('{{'))
    .join('\n')
  return parseAllDocuments(plain).map((document) => document.toJS() as Role)
}

const allows = (rules: readonly Rule[], right: Permission, verb: string): boolean =>
  rules.some(
    (rule) =>
      rule.apiGroups.includes(right.group) &&
      rule.resources.includes(right.resource) &&
      rule.verbs.includes(verb),
  )

describe('the chart', () => {
  test('lets an experiment do every verb that a fault declares', async () => {
    const experiment = (await roles()).find(
      ({ metadata }) => metadata.name === 'chaosplane-experiment',
    )
    const rules = experiment?.rules ?? []
    for (const fault of faults)
      for (const right of fault.permissions)
        for (const verb of right.verbs)
          expect(allows(rules, right, verb), `${fault.id}: ${verb} ${right.resource}`).toBe(true)
  })

  test('has no wildcard in any role', async () => {
    const found = (await roles()).filter(({ rules }) => rules)
    expect(found.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
      'ClusterRole chaosplane-operator',
      'Role chaosplane-operator',
      'ClusterRole chaosplane-runner',
      'Role chaosplane-runner',
      'ClusterRole chaosplane-experiment',
    ])
    for (const { rules } of found)
      for (const rule of rules) {
        expect([...rule.apiGroups, ...rule.resources, ...rule.verbs].join()).not.toContain('*')
        expect(rule.verbs.length).toBeGreaterThan(0)
      }
  })

  test('is as the generator writes it', async () => {
    const text = await readFile(template, 'utf8')
    expect(fillMarks(text, chartParts(faults))).toBe(text)
    expect(await readFile(page, 'utf8')).toBe(rightsPage(faults))
  })
})

const right = (change: Partial<Permission>): Permission => ({
  group: '',
  resource: 'pods',
  verbs: ['get'],
  why: 'because',
  ...change,
})

describe('rights', () => {
  test('of one resource are united, reasons too', () => {
    expect(unite([right({}), right({ verbs: ['list', 'get'], why: 'also' })])).toEqual([
      right({ verbs: ['get', 'list'], why: 'because; also' }),
    ])
  })

  test('of one resource in two groups stay apart', () => {
    expect(unite([right({ group: 'b' }), right({ group: 'a' })]).map(({ group }) => group)).toEqual(
      ['a', 'b'],
    )
  })

  test('on one object stay apart from those on all', () => {
    const all = right({ resource: 'configmaps', verbs: ['list'] })
    const one = right({ resource: 'configmaps', verbs: ['get'], names: ['a'] })
    expect(unite([one, all, one])).toEqual([all, one])
    expect(rulesYaml([one])).toContain('resourceNames: [a]\n    verbs: [get]')
  })

  test.each([
    ['a verb', { verbs: ['*'] }],
    ['a resource', { resource: '*' }],
    ['a group', { group: '*' }],
    ['a name', { names: ['*'] }],
    ['no verb', { verbs: [] }],
  ])('with a wildcard as %s are refused', (_, change) => {
    expect(() => rulesYaml([right(change)])).toThrow('must name its group')
  })

  test('need a mark in the template', () => {
    expect(() => fillMarks('kind: Role\n', { runner: [] })).toThrow('no mark for runner')
    const marked = '# generated: other\nrules: []\n# generated: end\n'
    expect(() => fillMarks(marked, {})).toThrow('no rights are known for the mark "other"')
  })
})
