import type { Json } from '../../test-e2e/watchers/api.ts'
import { experiment, experiments, type Place } from '../place.ts'
import { forget, isOver, strike } from './kills.ts'
import type { Planned } from './plan.ts'

/** What became of one experiment. */
export type Outcome = {
  planned: Planned
  /** the kill met something */
  killed: boolean
  verdict: string
  /** why, where it is no Pass */
  reason: string
  /** what must never be; empty when all is well */
  wrong: string[]
}

/** Longer than any run takes when it is cleaned up as promised, on a machine that is busy. */
const overMs = 150_000

/** Runs one experiment to its end on a target of its own, kills what its plan says, and removes it. */
export async function runOne(place: Place, planned: Planned, app: string): Promise<Outcome> {
  await place.ready(app, 1)
  const { name } = planned
  await place.api.create(experiments, document(place, planned, app))
  const killing = strike(place, planned)
  try {
    await place.runs.until(`${name} is over`, overMs, () => isOver(place.runs.get('v2', name)))
  } finally {
    await killing.catch(() => {})
  }
  const last = place.runs.get('v2', name)
  const outcome = {
    planned,
    killed: await killing,
    verdict: last.status.verdict,
    reason: last.status.tasks?.map((t: Json) => t.failStep).find(Boolean) ?? '',
    wrong: wrongs(place, last),
  }
  // one that is wrong stays, to be looked at
  if (outcome.wrong.length === 0) await forget(place, name)
  return outcome
}

const ended = new Set(['reverted', 'failed', 'untouched', 'abandoned'])
const final = /^(Pass|Fail|Error|Stopped|Aborted|N\/A)$/

function wrongs(place: Place, { metadata, status }: Json): string[] {
  const tasks: Json[] = status.run.tasks
  const targets: Json[] = tasks.flatMap((task) => task.targets)
  const open = targets.filter(({ state }) => !ended.has(state))
  const twice = tasks.filter(({ injections, targets: of }) => (injections ?? 0) > of.length)
  const verdicts = new Set(
    place.runs.history
      .filter(({ object }) => object.metadata.uid === metadata.uid)
      .map(({ object }) => object.status?.verdict)
      .filter((verdict) => final.test(verdict ?? '')),
  )
  return [
    ...open.map(({ id, state }) => `open record: ${id} is ${state}`),
    ...twice.map(({ injections }) => `injected ${injections} times`),
    ...(verdicts.size === 1 ? [] : [`verdicts one after the other: ${[...verdicts].join(', ')}`]),
  ]
}

function document(place: Place, { name, fault, seconds }: Planned, app: string): object {
  const target = fault === 'node-taint' ? {} : { target: app }
  const [node = ''] = place.cluster.nodes
  const env: Record<Planned['fault'], Record<string, string | number>> = {
    'pod-cpu-hog': { CPU_CORES: 1, CPU_LOAD: 20 },
    'pod-network-loss': { NETWORK_PACKET_LOSS_PERCENTAGE: 50 },
    'pod-network-partition': {},
    // one round
    'pod-delete': { CHAOS_INTERVAL: 10 },
    // a taint that keeps nobody away: what is killed beside it must find a node
    'node-taint': { TARGET_NODE: node, TAINTS: `${app}=on:PreferNoSchedule` },
    'pod-autoscaler': { REPLICA_COUNT: 2 },
    'pod-network-policy': { POD_AFFECTED_PERCENTAGE: 100 },
  }
  return experiment(name, [
    { fault, ...target, env: { TOTAL_CHAOS_DURATION: seconds, ...env[fault] } },
  ])
}
