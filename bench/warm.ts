import type { Json } from '../test-e2e/watchers/api.ts'
import { acceptedAt } from './injections.ts'
import { experiment, experiments, type Place } from './place.ts'
import type { Sheet } from './sheet.ts'
import { now } from './traces.ts'

const free = (place: Place): Json[] => place.podsOf('chaos.chaosplane.io/warm', 'free')
const works = ({ status }: Json): boolean =>
  status.containerStatuses?.length === 2 &&
  status.containerStatuses.every(({ state }: Json) => state.running)

/** The same hog by turns in a pod that is made for it and in the one that the run before has left. */
export async function warm(place: Place, sheet: Sheet, pairs: number): Promise<void> {
  await place.upgrade('runner.warm=idle')
  try {
    for (let n = 0; n < pairs; n++) {
      for (const { metadata } of free(place))
        await place.api.remove(
          `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}?gracePeriodSeconds=0`,
        )
      await place.pods.until('no warm pod', 30_000, () => free(place).length === 0)
      sheet.floor('warm', await rise(place, `unwarmed-${n}`))
      await place.pods.until('a warm pod', 30_000, () => free(place).some(works))
      sheet.add('warm', await rise(place, `warmed-${n}`))
    }
  } finally {
    await place.upgrade('runner.warm=none')
    await place.pods.until('no warm pod', 30_000, () => free(place).length === 0)
  }
}

/** The experiment is accepted → CPU of its target rises, milliseconds. */
async function rise(place: Place, name: string): Promise<number> {
  const trace = await place.traced('bench-one')
  const env = { TOTAL_CHAOS_DURATION: 1, CPU_CORES: 1 }
  try {
    await place.audit.begin()
    const from = now()
    await place.api.create(
      experiments,
      experiment(name, [{ fault: 'pod-cpu-hog', target: 'bench-one', env }]),
    )
    const rose = await place.pods.until('CPU rises', 20_000, () => trace.rise(from))
    await place.verdictAt(name)
    return rose - acceptedAt(await place.audit.events())
  } finally {
    trace.close()
    await place.clear(name)
  }
}
