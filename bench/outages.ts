import type { Component } from '../test-e2e/cluster/cluster.ts'
import { atWork, holdThrough, killAll, pidsIn } from './holds.ts'
import type { Place } from './place.ts'
import type { Key, Sheet } from './sheet.ts'
import { now } from './traces.ts'

const seconds = 4

type Outage = {
  key: Key
  strike(place: Place): Promise<number>
  mend(place: Place): Promise<void>
}

const nothing = async () => {}

/** Parts of the cluster are killed, and stay away until the effect is over. */
const parts = (key: Key, of: (place: Place) => Component[]): Outage => ({
  key,
  async strike(place) {
    const at = now()
    await Promise.all(of(place).map((part) => place.cluster.kill(part)))
    return at
  },
  async mend(place) {
    for (const part of of(place)) await place.cluster.start(part)
  },
})
const onNodes =
  (program: 'kubelet' | 'containerd') =>
  ({ cluster }: Place): Component[] =>
    cluster.nodes.map((node): Component => `${program}:${node}`)

/** Whose death ends no hold: it ends at its own deadline. */
const outages: Outage[] = [
  {
    key: 'away-guard',
    strike: async (place) => killAll('guard', pidsIn(place, atWork(place).pod, 'guard.sh')),
    mend: nothing,
  },
  {
    key: 'away-operator',
    strike: async (place) => {
      const operators = place.podsOf('app.kubernetes.io/component', 'operator')
      return killAll(
        'operator',
        operators.flatMap((pod) => pidsIn(place, pod, 'operator.cjs')),
      )
    },
    mend: nothing,
  },
  {
    key: 'away-control-plane',
    strike: async (place) => {
      place.recorder.control({ mode: 'closed', forMs: seconds * 1000 })
      return now()
    },
    mend: nothing,
  },
  parts('away-api', () => ['kube-apiserver']),
  parts('away-kubelet', onNodes('kubelet')),
  parts('away-containerd', onNodes('containerd')),
]

/** What a hold on a node does not need is killed in the middle of it: the deadline on record → no stressor. */
export async function away(place: Place, sheet: Sheet, n: number): Promise<void> {
  for (const { key, strike, mend } of outages) {
    const { cleanAt, endsAt } = await holdThrough(place, {
      name: `${key}-${n}`,
      seconds,
      strike: () => strike(place),
      mend: () => mend(place),
    })
    sheet.add(key, cleanAt - endsAt)
  }
}
