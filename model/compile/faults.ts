import type { FaultCatalogue, FaultDefinition } from '../fault.ts'
import { nearest } from '../suggest.ts'
import type { Problems } from './problems.ts'

type Dialect = 'litmus' | 'chaosplane'

/** The fault with this name in the dialect, or null after a refusal that names those that are built. */
export function faultNamed(
  written: string,
  catalogue: FaultCatalogue,
  { dialect, path, problems }: { dialect: Dialect; path: string; problems: Problems },
): FaultDefinition | null {
  const faults = Object.values(catalogue)
  const found = faults.find((fault) => fault.names[dialect].includes(written))
  if (found) return found
  const known = faults.flatMap((fault) => fault.names[dialect])
  const all = `these are built: ${known.join(', ')}`
  const other: Dialect = dialect === 'litmus' ? 'chaosplane' : 'litmus'
  const elsewhere = faults.find((fault) => fault.names[other].includes(written))?.names[dialect][0]
  const meant = elsewhere ?? nearest(written, known)
  problems.refuse(
    path,
    written === '' ? 'no fault is named' : `the fault ${JSON.stringify(written)} is not built`,
    meant === null || meant === undefined || written === '' ? all : `did you mean ${meant}? ${all}`,
  )
  return null
}
