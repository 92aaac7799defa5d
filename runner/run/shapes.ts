import { seededChance } from '../../model/chance.ts'
import type { TaskPlan } from '../../model/plan.ts'
import type { FaultShape } from '../engine/view.ts'
import { faultCatalogue } from '../faults/catalogue.generated.ts'

export const isHeldByApi = ({ hands, lasts }: FaultShape): boolean =>
  hands === 'kube' && lasts === 'while-held'

/** What the engine must know of a fault. */
export function shapeOf(id: string): FaultShape {
  const fault = faultCatalogue[id]
  if (!fault) throw new Error(`fault ${id} is not in the catalogue`)
  return {
    hands: fault.hands,
    lasts: fault.lasts,
    waveOffset(task, wave, seed) {
      if (wave === 0) return 0
      return waveOffset(fault, task, { wave, seed })
    },
  }
}

/** Random intervals are drawn from the run's seed: the same for whoever carries the run on. */
function waveOffset(
  fault: (typeof faultCatalogue)[string],
  task: TaskPlan,
  { wave, seed }: { wave: number; seed: number },
): number | null {
  let offset = 0
  for (let i = 1; i <= wave; i++) {
    const chance = seededChance(seed, `${task.name}/interval/${i}`)
    const interval = fault.intervalMs?.(task.params, chance) ?? null
    if (interval === null) return null
    offset += interval
    if (offset >= task.durationMs) return null
  }
  return offset
}
