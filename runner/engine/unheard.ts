import type { RunState } from '../../model/state.ts'
import type { FactBody } from './fact.ts'
import { isLoop } from './view.ts'

/** Loops that nobody listened to while the run had no runner are judged by what was seen until then. */
export function unheard(state: RunState): FactBody[] {
  return state.tasks
    .filter((t) => t.stage === 'reverting' && t.chaosAt !== undefined)
    .flatMap((task) =>
      task.probes
        .filter((p) => isLoop(p) && p.mode !== 'AbortWhen' && p.during === undefined)
        .map(
          (p): FactBody => ({
            fact: 'probed',
            task: task.name,
            probe: p.name,
            phase: 'during',
            outcome: p.evaluations > 0 ? 'passed' : 'error',
            detail: 'the runner was replaced before the loop was judged',
            evaluations: 0,
            final: true,
          }),
        ),
    )
}
