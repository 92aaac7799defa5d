import { readFile, writeFile } from 'node:fs/promises'
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

const mark = /^ *\/\/ generated: acts\n[\s\S]*?^ *\/\/ generated: end$/m

/** The template with the map in its marked place. */
export function fillActs(text: string, faults: readonly FaultAct[]): string {
  if (!mark.test(text)) throw new Error('the admission policy has no mark for the acts of faults')
  return text.replace(
    mark,
    () => `        // generated: acts\n${actsExpression(faults)}\n        // generated: end`,
  )
}

/** Writes the marked part of the admission policy; returns the file if it has changed. */
export async function writeAdmission(
  faults: readonly FaultAct[] = Object.values(faultCatalogue),
  root: URL = new URL('../', import.meta.url),
): Promise<string[]> {
  const file = new URL('config/chart/templates/admission.yaml', root)
  const before = await readFile(file, 'utf8')
  const after = fillActs(before, faults)
  if (after === before) return []
  await writeFile(file, after)
  return [file.pathname]
}
