import { setTimeout as delay } from 'node:timers/promises'
import { podGroup, processesIn } from '../test-e2e/watchers/cgroups.ts'
import { atWork, holdThrough, killAll, pidsIn } from './holds.ts'
import type { Place } from './place.ts'
import type { Key, Sheet } from './sheet.ts'
import { now } from './traces.ts'

type Victim =
  | 'program'
  | 'program and guard'
  | 'pod'
  | 'runner'
  | 'runner and program'
  | 'runner and pod'

const victims: { victim: Victim; key: Key }[] = [
  { victim: 'program', key: 'kill-program' },
  { victim: 'program and guard', key: 'kill-both' },
  { victim: 'pod', key: 'kill-pod' },
  { victim: 'runner', key: 'kill-runner' },
  { victim: 'runner and program', key: 'kill-runner-program' },
  { victim: 'runner and pod', key: 'kill-runner-pod' },
]

/**
 * Each victim once: SIGKILL (of a pod: its forced deletion is asked for) in the middle of a long hold → no process but
 * the target's own is in its cgroup. A runner alone ends nothing: there it is the deadline on record → the same.
 */
export async function kills(place: Place, sheet: Sheet, n: number): Promise<void> {
  const floor = await plainKill(place, n)
  for (const { victim, key } of victims) {
    sheet.floor(key, floor)
    sheet.add(key, await killToClean(place, victim, `kill-${key}-${n}`))
  }
}

async function killToClean(place: Place, victim: Victim, name: string): Promise<number> {
  const alone = victim === 'runner'
  try {
    const { struckAt, cleanAt, endsAt } = await holdThrough(place, {
      name,
      seconds: alone ? 4 : 60,
      strike: () => kill(place, victim),
      mend: async () => {},
    })
    return cleanAt - (alone ? endsAt : struckAt)
  } finally {
    if (victim.startsWith('runner')) await freshRunner(place)
  }
}

async function kill(place: Place, victim: Victim): Promise<number> {
  const { pod, runner } = atWork(place)
  const program = pidsIn(place, pod, 'fault-pod.cjs')
  const ofRunner = pidsIn(place, runner, 'runner.cjs')
  const doomed: Record<Victim, number[]> = {
    program,
    'program and guard': [...program, ...pidsIn(place, pod, 'guard.sh')],
    pod: [],
    runner: ofRunner,
    'runner and program': [...ofRunner, ...program],
    'runner and pod': ofRunner,
  }
  const at = victim === 'pod' ? now() : killAll(victim, doomed[victim])
  if (victim === 'pod' || victim === 'runner and pod') {
    const { namespace, name } = pod.metadata
    await place.api.remove(`/api/v1/namespaces/${namespace}/pods/${name}?gracePeriodSeconds=0`)
  }
  return at
}

/** A pod in place of the killed one: kubelet would let the same one wait longer each time. */
async function freshRunner(place: Place): Promise<void> {
  const runners = () => place.podsOf('app.kubernetes.io/component', 'runner')
  const old = runners().map(({ metadata }) => metadata)
  for (const { namespace, name } of old)
    await place.api.remove(`/api/v1/namespaces/${namespace}/pods/${name}`)
  const uids = old.map(({ uid }) => uid)
  await place.pods.until('a fresh runner', 60_000, () =>
    runners().some(
      ({ metadata, status }) =>
        !uids.includes(metadata.uid) && status.containerStatuses?.[0]?.ready === true,
    ),
  )
  await delay(500)
}

/** A plain stress-ng in a pod: SIGKILL of all its processes → none is in its cgroup. */
async function plainKill(place: Place, n: number): Promise<number> {
  const path = '/api/v1/namespaces/demo/pods'
  const name = `kill-floor-${n}`
  // it writes where it is started, and is no root
  const command = ['stress-ng', '--temp-path', '/dev/shm', '--cpu', '1', '--timeout', '120']
  const containers = [{ name: 'c', image: place.image, imagePullPolicy: 'Never', command }]
  const spec = { restartPolicy: 'Never', terminationGracePeriodSeconds: 0, containers }
  await place.api.create(path, { metadata: { name }, spec })
  try {
    const group = await place.pods.until(`stress-ng of ${name}`, 60_000, () => {
      const pod = place.pods.get('demo', name)
      const own = pod && podGroup(place.cluster.nodes, pod.metadata.uid)
      // the one that is run and the one that burns
      return own && stressors(own).length >= 2 && own
    })
    await delay(500)
    const at = now()
    for (const pid of stressors(group)) process.kill(pid, 'SIGKILL')
    while (stressors(group).length > 0) {
      if (now() - at > 10_000) throw new Error('a plain stress-ng outlived SIGKILL for 10 s')
      await delay(1)
    }
    return now() - at
  } finally {
    await place.api.remove(`${path}/${name}`)
    await place.pods.until(`${name} is gone`, 30_000, () => !place.pods.get('demo', name))
  }
}

const stressors = (group: string): number[] =>
  processesIn(group)
    .filter(({ command }) => command.includes('stress-ng'))
    .map(({ pid }) => pid)
