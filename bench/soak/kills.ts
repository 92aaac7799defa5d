import { setTimeout as delay } from 'node:timers/promises'
import type { Json } from '../../test-e2e/watchers/api.ts'
import { podGroup, processesIn } from '../../test-e2e/watchers/cgroups.ts'
import { leaderName } from '../endings.ts'
import { experiments, type Place } from '../place.ts'
import type { Planned, Victim } from './plan.ts'

const podOf: Record<'program' | 'guard', string> = { program: 'fault-pod.cjs', guard: 'guard.sh' }

/** Carries out the kill of an experiment that has just been created; false when there was nothing to kill any more. */
export async function strike(place: Place, planned: Planned): Promise<boolean> {
  const { name, kill } = planned
  if (!kill) return false
  const { victim, afterMs } = kill
  if (victim === 'runner' || victim === 'leader') {
    await delay(afterMs)
    return await killProgram(place, victim)
  }
  const pod = await faultPod(place, name)
  if (!pod) return false
  await delay(afterMs)
  if (victim === 'pod') return await forceDelete(place, pod)
  return killProcesses(place, pod, podOf[victim])
}

/** The fault pod of a run as soon as its program runs; undefined when the run ends without one. */
async function faultPod(place: Place, name: string): Promise<Json | undefined> {
  const found = await place.pods.until(`a fault pod of ${name}`, 60_000, () => {
    const run = place.runs.get('v2', name)?.status?.run
    if (run?.finishedAt) return 'none'
    const [pod] = run ? place.podsOf('chaos.chaosplane.io/run', run.runId) : []
    const group = pod && podGroup(place.cluster.nodes, pod.metadata.uid)
    return (
      group !== undefined &&
      processesIn(group).some(({ command }) => command.includes('fault-pod.cjs')) &&
      pod
    )
  })
  return found === 'none' ? undefined : found
}

function killProcesses(place: Place, pod: Json, part: string): boolean {
  const group = podGroup(place.cluster.nodes, pod.metadata.uid)
  const found = (group ? processesIn(group) : []).filter(({ command }) => command.includes(part))
  for (const { pid } of found) killIfThere(pid)
  return found.length > 0
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ESRCH') throw e
  }
}

async function forceDelete({ api }: Place, { metadata }: Json): Promise<boolean> {
  const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`
  return (await api.remove(`${path}?gracePeriodSeconds=0`)) !== undefined
}

/** The first kill of a pod is one of its process; kubelet would wait longer after each further one, so the next takes the pod. */
async function killProgram(place: Place, victim: Victim): Promise<boolean> {
  const leader = victim === 'leader' ? await leaderName(place) : undefined
  const [pod] = place
    .podsOf('app.kubernetes.io/component', victim === 'leader' ? 'operator' : 'runner')
    .filter(({ metadata }) => leader === undefined || metadata.name === leader)
  if (!pod) return false
  if (pod.status.containerStatuses?.[0]?.restartCount > 0) return await forceDelete(place, pod)
  return killProcesses(place, pod, victim === 'leader' ? 'operator' : 'runner.cjs')
}

/** Whether a run is over in every way: judged, nothing open, let go. */
export function isOver(object: Json): boolean {
  const { verdict, run } = object?.status ?? {}
  const judged = /^(Pass|Fail|Error|Stopped|Aborted|N\/A)$/.test(verdict ?? '')
  return judged && Boolean(run?.finishedAt) && !object.metadata.finalizers?.length
}

/** Removes a run and waits until it is gone. */
export async function forget(place: Place, name: string): Promise<void> {
  await place.api.remove(`${experiments}/${name}`)
  await place.runs.until(`${name} is gone`, 60_000, () => !place.runs.get('v2', name))
}
