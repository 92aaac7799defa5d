import type { FaultDefinition } from '../fault.ts'
import type { TaskPlan } from '../plan.ts'
import type { Problems } from './problems.ts'

export const targetsModes = ['static', 'dynamic'] as const

type Of = {
  path: string
  problems: Problems
  fault: Pick<FaultDefinition, 'id' | 'lasts' | 'targets' | 'onlyStatic'>
  sequence: TaskPlan['sequence']
}

/** `dynamic`: what the selection finds while the fault is held is hit too. Empty: `static`. */
export function targetsModeOf(
  written: string,
  { path, problems, fault, sequence }: Of,
): Pick<TaskPlan, 'dynamic'> {
  const mode = written.trim() === '' ? 'static' : problems.oneOf(path, written.trim(), targetsModes)
  if (mode !== 'dynamic') return {}
  if (fault.lasts === 'instant') {
    problems.note(`${path}: dynamic is how ${fault.id} works anyway: each strike selects anew.`)
    return {}
  }
  if (fault.targets !== 'pods' && fault.targets !== 'containers')
    problems.refuse(path, `${fault.id} is not aimed at pods`, 'leave it out')
  if (fault.onlyStatic) problems.refuse(path, fault.onlyStatic, 'leave it out')
  if (sequence === 'serial')
    problems.refuse(
      path,
      'targets that come later cannot have a turn in a series that has begun',
      'use SEQUENCE parallel, or leave the mode out',
    )
  return { dynamic: true }
}
