import { afterAll, beforeAll, expect, it } from 'vitest'
import { cpuHog, experiment } from '../stories/documents.ts'
import { Guest } from './guest.ts'
import { expectNoResidue, verdictsOf } from './held.ts'

const app = 'eaten'
let guest: Guest

beforeAll(async () => {
  guest = await Guest.begin()
  await guest.target(app, { resources: { limits: { memory: '96Mi' } } })
})
afterAll(() => guest?.end())

it('a container out of memory takes its stressor with it (memory.oom.group): the run is cut short, and its successor is let alone', async () => {
  const pod = await guest.pod(app)
  const before = await guest.state(pod)
  const id = pod.status.containerStatuses[0].containerID.replace(/^.*:\/\//, '')
  const group = `$(find /sys/fs/cgroup/kubepods -type d -name '*${id}*')`
  expect(await guest.machine.run(`cat ${group}/memory.oom.group`)).toBe('1\n')
  const watch = guest.watchStress(pod)
  const story = await guest.world.run(experiment('out-of-memory', [cpuHog(app, 120)]))
  await story.injected(120_000)
  // tail keeps what it reads until a line ends
  const eat = `echo $BASHPID >${group}/cgroup.procs && head -c 300M /dev/zero | tail -n 1 >/dev/null`
  await guest.machine.run(`(${eat}) & wait`)
  const status = await story.finished(120_000)
  expect(status).toMatchObject({ phase: 'Error', verdict: 'Error' })
  expect(verdictsOf(story)).toEqual(['Error'])
  expect(status.tasks[0].errorCode).toBe('CUT_SHORT')
  console.log(status.tasks[0].failStep)
  const [target] = story.targets
  console.log(JSON.stringify(target))
  expect(target).toMatchObject({ state: 'reverted', outcome: 'noLongerExists' })
  expect(story.run.tasks[0].injections).toBe(1)
  const holds = watch.holds()
  expect(holds).toHaveLength(1)
  const { from = 0, to = 0 } = holds[0] ?? {}
  expect(Math.abs(target.heldMs - (to - from))).toBeLessThan(3000)
  const restarted = await guest.world.pods.until('the container runs again', 120_000, () => {
    const [now] = guest.world.podsOf(app)
    const [container] = now?.status.containerStatuses ?? []
    return container?.restartCount === 1 && container.ready && now
  })
  const { lastState } = restarted.status.containerStatuses[0]
  expect(lastState.terminated.reason).toBe('OOMKilled')
  expect(await guest.state(restarted)).toBe(before)
  await expectNoResidue(guest, story)
})
