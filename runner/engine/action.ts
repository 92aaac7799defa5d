/** What the engine wants done now. The loop starts what is not running and ends what is no longer wanted. */
export type Action =
  | { do: 'prepare'; task: string; early: boolean }
  | { do: 'check'; task: string }
  | { do: 'probe'; task: string; probe: string; phase: 'pre' | 'post' }
  | { do: 'watch'; task: string; probe: string }
  /** keep the fault pods of the task there and listen to them */
  | { do: 'attend'; task: string }
  | { do: 'strike'; task: string; wave: number }
  /** nothing more of the wave is struck: what is under way comes to its end */
  | { do: 'spare'; task: string; wave: number }
  /** wait until what was struck is complete, each target by itself: a quick one does not wait for a slow one */
  | { do: 'settle'; task: string; wave: number; target: string }
  /** an API-level fault that is held: plan, record, act on the targets of a wave */
  | { do: 'inject'; task: string; wave: number }
  /** put one target of such a fault back and prove it, for as long as it takes */
  | { do: 'restore'; task: string; target: string }
  /** see whether what is held is still in effect, for as long as the hold lasts */
  | { do: 'oversee'; task: string }
  | { do: 'go'; task: string; wave: number }
  /** tell the nodes of targets that joined a wave after it was sent; `count` of them */
  | { do: 'join'; task: string; count: number }
  /** look for targets that come while a fault is held, and record them */
  | { do: 'follow'; task: string }
  /** tell the nodes to put back what a pause ends */
  | { do: 'suspend'; task: string }
  /** `targets`: these alone; absent: all, also those whose turn has not come */
  | { do: 'stop'; task: string; reason: string; targets?: string[] }
  | { do: 'close'; task: string }

/** Two wants with one key are the same want. */
export const key = (action: Action): string =>
  [
    action.do,
    action.task,
    'early' in action ? action.early : '',
    'probe' in action ? action.probe : '',
    'phase' in action ? action.phase : '',
    'wave' in action ? action.wave : '',
    'count' in action ? action.count : '',
    'target' in action ? action.target : '',
    'targets' in action ? action.targets : '',
  ].join('/')
