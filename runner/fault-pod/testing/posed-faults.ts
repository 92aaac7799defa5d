import { faultCatalogue } from '../../faults/catalogue.generated.ts'
import type { nodeFaults } from '../node-faults.generated.ts'
import { cannotPose, PosedContainer } from './container.ts'
import { cannotNetwork, flushNetwork, hasNetem, networkImage } from './network.ts'

/** How a fault is tried on posed containers. */
export type PosedFault = {
  /** tunables of the first dialect */
  env: Record<string, string>
  /** why it cannot be tried on this machine; empty when it can */
  cannot(): string
  pose(): PosedContainer
  /** everything that the fault changes, read from outside */
  image(container: PosedContainer): string
  /** ends the effect from outside */
  spoil(container: PosedContainer): void
}

const inNetwork = {
  cannot: () => cannotPose() || cannotNetwork(),
  pose: () => new PosedContainer(1, { network: true }),
  image: (container: PosedContainer) => networkImage(container.pid),
  spoil: (container: PosedContainer) => flushNetwork(container.pid),
}

/** One row for each fault that has a part on the node. */
export const posedFaults: Record<keyof typeof nodeFaults, PosedFault> = {
  'pod-cpu-hog': {
    env: { CPU_CORES: '1' },
    cannot: cannotPose,
    pose: () => new PosedContainer(),
    image: (container) => container.strangers().join(' '),
    spoil(container) {
      for (const pid of container.strangers()) process.kill(pid, 'SIGKILL')
    },
  },
  'pod-network-loss': { env: {}, ...inNetwork },
  'pod-network-latency': {
    env: {},
    ...inNetwork,
    cannot: () => inNetwork.cannot() || (hasNetem() ? '' : 'needs a kernel with sch_netem'),
  },
  'pod-network-partition': { env: {}, ...inNetwork },
}

/** The parameters as a compiler makes them. */
export const paramsOf = (fault: keyof typeof posedFaults): Record<string, unknown> =>
  JSON.parse(JSON.stringify(faultCatalogue[fault]?.fromLitmus(posedFaults[fault].env, fault) ?? {}))
