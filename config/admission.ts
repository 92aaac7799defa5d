import { readFile, writeFile } from 'node:fs/promises'
import { probedResources } from '../model/compile/steady-state.ts'
import type { FaultDefinition, Permission } from '../model/fault.ts'
import { faultCatalogue } from '../runner/faults/catalogue.generated.ts'

export type FaultAct = Pick<FaultDefinition, 'id' | 'names' | 'targets' | 'permissions'>

const reads = new Set(['get', 'list', 'watch'])

/** Every right by which a fault changes something: who has them in a namespace could do much the same by hand. */
export function actsOf({ id, permissions }: Pick<FaultAct, 'id' | 'permissions'>): Permission[] {
  const acts = permissions
    .map((permission) => ({ ...permission, verbs: permission.verbs.filter((v) => !reads.has(v)) }))
    .filter(({ verbs }) => verbs.length > 0)
  if (acts.length === 0) throw new Error(`the fault ${id} names no right by which it acts`)
  return acts
}

/** A map in CEL from every name of a fault to its acts, `verb|group|resource|subresource|scope` and `;` between them. */
export function actsExpression(faults: readonly FaultAct[]): string {
  const rows = faults.flatMap((fault) => {
    const scope = fault.targets === 'nodes' ? 'Cluster' : 'Namespaced'
    const acts = actsOf(fault).flatMap(({ group, resource, verbs }) => {
      const [main, sub = ''] = resource.split('/')
      return verbs.map((verb) => [verb, group, main, sub, scope].join('|'))
    })
    const names = new Set([...fault.names.litmus, ...fault.names.chaosplane])
    return [...names].map((name) => `        "${name}": "${acts.join(';')}"`)
  })
  return `        {\n${rows.sort().join(',\n')}}`
}

/** A map in CEL from what a ChaosExperiment's k8s probe may name to the right by which it is listed. */
export function resourcesExpression(): string {
  const rows = Object.entries(probedResources).flatMap(([plural, { group, cluster }]) => {
    const right = ['list', group, plural, '', cluster ? 'Cluster' : 'Namespaced'].join('|')
    return [plural, plural.replace(/s$/, '')].map((name) => `        "${name}": "${right}"`)
  })
  return `        {\n${rows.sort().join(',\n')}}`
}

/** The text with one of its marked places filled. */
function fill(text: string, name: string, expression: string): string {
  const [begin, end] = [`        // generated: ${name}\n`, '\n        // generated: end']
  const from = text.indexOf(begin)
  const to = text.indexOf(end, from)
  if (from < 0 || to < 0) throw new Error(`the admission policy has no mark for the ${name}`)
  return text.slice(0, from) + begin + expression + text.slice(to)
}

/** The template with the maps in their marked places. */
export const fillMaps = (text: string, faults: readonly FaultAct[]): string =>
  fill(fill(text, 'acts', actsExpression(faults)), 'resources', resourcesExpression())

/** Writes the marked parts of the admission policy; returns the file if it has changed. */
export async function writeAdmission(
  faults: readonly FaultAct[] = Object.values(faultCatalogue),
  root: URL = new URL('../', import.meta.url),
): Promise<string[]> {
  const file = new URL('config/chart/templates/admission.yaml', root)
  const before = await readFile(file, 'utf8')
  const after = fillMaps(before, faults)
  if (after === before) return []
  await writeFile(file, after)
  return [file.pathname]
}
