import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeEvent } from '../../model/fault-pod.ts'
import { faultCatalogue } from '../faults/catalogue.generated.ts'
import { cannotPose, noUnified, PosedContainer, removeGroup } from './testing/container.ts'
import { bundleProgram, orderFor, PosedPod, until } from './testing/pod.ts'
import { type PosedFault, paramsOf, posedFaults } from './testing/posed-faults.ts'

let folder = ''
let program = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fault-pod-capabilities-'))
  program = await bundleProgram(folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Fault = keyof typeof posedFaults

/** SYS_ADMIN is needed for processes only where a runtime gives containers a cgroup namespace of their own: version 2. */
const posedAs = (fault: Fault): PosedFault & { namespaced: boolean } =>
  fault === 'pod-cpu-hog'
    ? {
        ...posedFaults[fault],
        cannot: () => cannotPose() || noUnified(),
        pose: () => new PosedContainer(2),
        namespaced: true,
      }
    : { ...posedFaults[fault], namespaced: false }

const ends: NodeEvent['event'][] = ['refused', 'inject-failed', 'injected']

/** What became of one injection by a program that has these capabilities, and whether the target is as before. */
async function inject(fault: Fault, capabilities: readonly string[]) {
  const posed = posedAs(fault)
  const container = posed.pose()
  const group = `/sys/fs/cgroup/unified/chaosplane-test-own-${container.podUid}`
  if (posed.namespaced) mkdirSync(group)
  await container.ready()
  const before = posed.image(container)
  const order = orderFor([container], { fault, params: paramsOf(fault), holdMs: 600 })
  const pod = new PosedPod(program, order)
  try {
    pod.startGuard()
    pod.startProgramWith(capabilities, posed.namespaced ? group : undefined)
    const said = await until(
      8000,
      () => pod.events.find(({ event }) => ends.includes(event)),
      () => `nothing was said: ${JSON.stringify(pod.lines)} ${pod.stray}`,
    )
    const changed = posed.image(container) !== before
    if (said.event === 'injected') await pod.event('reverted')
    const reason = 'reason' in said ? said.reason : ''
    return { event: said.event, reason, changed, restored: posed.image(container) === before }
  } finally {
    pod.remove()
    await container.remove()
    if (posed.namespaced) await removeGroup(group)
  }
}

for (const fault of Object.keys(posedFaults) as Fault[]) {
  const { capabilities = [] } = faultCatalogue[fault] ?? {}
  const why = posedAs(fault).cannot()
  describe.skipIf(why !== '')(`the fault pod of ${fault}${why && ` (skipped: ${why})`}`, () => {
    it.concurrent(`needs no more than ${capabilities.join(', ')}`, async () => {
      expect(await inject(fault, capabilities)).toEqual({
        event: 'injected',
        reason: '',
        changed: true,
        restored: true,
      })
    })

    it.concurrent.each(capabilities)(
      'without %s says that it is missing, and does nothing',
      async (missing) => {
        const { event, reason, changed, restored } = await inject(
          fault,
          capabilities.filter((one) => one !== missing),
        )
        expect({ event, changed, restored }, reason).toEqual({
          event: expect.stringMatching(/^(refused|inject-failed)$/),
          changed: false,
          restored: true,
        })
        expect(reason).toContain(missing)
      },
    )
  })
}
