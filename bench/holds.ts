import { setTimeout as delay } from 'node:timers/promises'
import type { Json } from '../test-e2e/watchers/api.ts'
import { podGroup, processesIn } from '../test-e2e/watchers/cgroups.ts'
import { experiment, experiments, type Place } from './place.ts'
import { now } from './traces.ts'

type Struck = {
  name: string
  seconds: number
  /** breaks something in mid-hold; resolves when it is broken, with that moment */
  strike: () => Promise<number>
  /** puts back what was broken, after the effect is over; the verdict is awaited then */
  mend: () => Promise<void>
}

/** Unix milliseconds: when it was broken, when no stressor was left, and the deadline on record. */
export type Ending = { struckAt: number; cleanAt: number; endsAt: number }

/** One pod-cpu-hog in whose hold something is broken. */
export async function holdThrough(
  place: Place,
  { name, seconds, strike, mend }: Struck,
): Promise<Ending> {
  const trace = await place.processes('bench-one')
  const env = { TOTAL_CHAOS_DURATION: seconds, CPU_CORES: 1 }
  try {
    const from = now()
    await place.api.create(
      experiments,
      experiment(name, [{ fault: 'pod-cpu-hog', target: 'bench-one', env }]),
    )
    await place.pods.until(`${name}: a stressor`, 60_000, () => trace.rise(from))
    const target = await place.runs.until(`${name}: injected, on record`, 10_000, () =>
      place.runs
        .get('v2', name)
        ?.status?.run?.tasks?.[0]?.targets.find((t: Json) => t.state === 'injected'),
    )
    await delay(500)
    const struckAt = await strike()
    try {
      const cleanAt = await place.pods.until(`${name}: no stressor`, 90_000, () => trace.fall())
      return { struckAt, cleanAt, endsAt: target.endsAt }
    } finally {
      await mend()
      await place.verdictAt(name)
    }
  } finally {
    trace.close()
    await place.clear(name)
  }
}

/** Processes of a pod whose command line contains `part`. */
export function pidsIn(place: Place, pod: Json, part: string): number[] {
  const group = podGroup(place.cluster.nodes, pod.metadata.uid)
  return (group ? processesIn(group) : [])
    .filter(({ command }) => command.includes(part))
    .map(({ pid }) => pid)
}

/** The fault pod that is at work, and the runner. */
export function atWork(place: Place): { pod: Json; runner: Json } {
  const [pod] = place.podsOf('chaos.chaosplane.io/part', 'fault-pod')
  const [runner] = place.podsOf('app.kubernetes.io/component', 'runner')
  if (!pod || !runner) throw new Error('no fault pod or no runner is there to be killed')
  return { pod, runner }
}

/** SIGKILL; at least one must be there. */
export function killAll(what: string, pids: number[]): number {
  if (pids.length === 0) throw new Error(`no process of ${what}`)
  const at = now()
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  return at
}
