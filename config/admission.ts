import { readFile, writeFile } from 'node:fs/promises'
import type { FaultDefinition, Permission } from '../model/fault.ts'
import { faultCatalogue } from '../runner/faults/catalogue.generated.ts'

export type FaultAct = Pick<FaultDefinition, 'id' | 'names' | 'targets' | 'permissions'>

const reads = new Set(['get', 'list', 'watch'])

/** The first right by which a fault changes something: who has it in a namespace could do much the same by hand. */
export function actOf({ id, permissions }: Pick<FaultAct, 'id' | 'permissions'>): Permission {
  for (const permission of permissions) {
    const verbs = permission.verbs.filter((verb) => !reads.has(verb))
    if (verbs.length > 0) return { ...permission, verbs }
  }
  throw new Error(`the fault ${id} names no right by which it acts`)
}

/** A map in CEL from every name of a fault to `verb|group|resource|subresource|scope`. */
export function actsExpression(faults: readonly FaultAct[]): string {
  const rows = faults.flatMap((fault) => {
    const { group, resource, verbs } = actOf(fault)
    const [main, sub = ''] = resource.split('/')
    const scope = fault.targets === 'nodes' ? 'Cluster' : 'Namespaced'
    const names = new Set([...fault.names.litmus, ...fault.names.chaosplane])
    return [...names].map(
      (name) => `        "${name}": "${[verbs[0], group, main, sub, scope].join('|')}"`,
    )
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
