import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NodeTarget } from '../../../model/fault-pod.ts'
import type { FoundTarget } from '../../faults/node-fault.ts'
import { Hands } from '../hands.ts'
import { bootId, createFind } from '../host.ts'
import { undoScript } from '../journal.ts'
import { cannotPose, PosedContainer } from '../testing/container.ts'
import { cannotNetwork, PosedNetwork } from '../testing/network.ts'
import { until } from '../testing/pod.ts'
import { type NetworkPlan, nameFor, networkActs } from './acts.ts'
import { inNetwork, podNetwork } from './namespace.ts'

const why = cannotNetwork()
const hands = new Hands('', process.env, [process.pid])

const run = (program: string, ...args: string[]) => spawnSync(program, args, { encoding: 'utf8' })

/** A table of ours in the network of a target, planned and injected as a fault does. */
function inject(found: FoundTarget): NetworkPlan {
  const table = nameFor(found)
  const ruleset = `table inet ${table} {\n chain out {\n type filter hook output priority 0\n counter\n }\n}\n`
  const by = { means: 'nft', family: 'inet', table, ruleset } as const
  const plan: NetworkPlan = JSON.parse(
    JSON.stringify({ network: podNetwork(found, hands), what: 'lo counts', by }),
  )
  networkActs.inject(plan, hands)
  expect(networkActs.verify(plan, hands)?.evidence).toContain(table)
  return plan
}

/** The exit code of the undo file. `root`: where the guard finds the host's files. */
function undoByScript(plan: NetworkPlan, root?: string): number | null {
  const go = { fault: 'test', guardAt: 0, planned: [] }
  const env = { ...process.env, ...(root === undefined ? {} : { CHAOSPLANE_HOST: root }) }
  return spawnSync('sh', [], { env, input: undoScript(go, bootId(), [networkActs.undo(plan)]) })
    .status
}

const markOf = () => `run/task/${randomUUID()}`

describe.skipIf(why !== '')(`a network without a process${why && ` (skipped: ${why})`}`, () => {
  let name: string
  const at = () => `/run/netns/${name}`
  const tables = () => run('nsenter', `--net=${at()}`, 'nft', 'list', 'tables').stdout

  beforeEach(() => {
    name = `chaosplane-test-${randomUUID().slice(0, 8)}`
    expect(run('ip', 'netns', 'add', name).status).toBe(0)
  })
  afterEach(() => {
    run('ip', 'netns', 'del', name)
  })

  /** The pod's only container has crashed, and its runtime keeps the network for the next one. */
  async function crashed(): Promise<NetworkPlan> {
    const pod = await PosedNetwork.make(at())
    const plan = inject(pod.target(markOf()))
    await pod.ended()
    expect(tables()).toContain('chaosplane_')
    return plan
  }

  it('is not gone while a mount holds it: the effect lasts, and is put back', async () => {
    const plan = await crashed()
    expect(networkActs.alive(plan, { evidence: '', sound: 1 }, hands)).toBeNull()
    expect(networkActs.proof(plan, hands)).toMatchObject({
      remaining: [expect.stringContaining(`nsenter --net=${at()} -- nft delete table`)],
    })
    networkActs.revert(plan, hands)
    expect(tables()).toBe('')
    const proven = networkActs.proof(plan, hands)
    expect(proven).toEqual({ proof: expect.stringContaining('is left in the pod') })
  })

  it('is found by way of a process of the host, as from a fault pod', async () => {
    const plan = await crashed()
    const fromPod = new Hands(`/proc/${process.pid}/root`, process.env, [process.pid])
    networkActs.revert(plan, fromPod)
    expect(tables()).toBe('')
  })

  it.each([
    ['on the node', undefined],
    ['in a fault pod', `/proc/${process.pid}/root`],
  ])('is put back by the undo file %s', async (_, root) => {
    const plan = await crashed()
    expect(undoByScript(plan, root)).toBe(0)
    expect(tables()).toBe('')
  })

  it('is gone once the mount is gone too', async () => {
    const plan = await crashed()
    run('ip', 'netns', 'del', name)
    expect(networkActs.alive(plan, { evidence: '', sound: 1 }, hands)).toMatch(/has ended/)
    expect(networkActs.proof(plan, hands)).toMatchObject({ gone: true })
    expect(undoByScript(plan)).toBe(0)
  })

  it('is gone when its number is that of a network mounted elsewhere', async () => {
    const plan = await crashed()
    const network = { ...plan.network, pin: '/run/netns/its-own' }
    expect(networkActs.proof({ ...plan, network }, hands)).toMatchObject({ gone: true })
    networkActs.revert({ ...plan, network }, hands)
    expect(tables()).not.toBe('')
  })

  it('is entered again by the process of the next container', async () => {
    const plan = await crashed()
    const next = await PosedNetwork.make(at())
    networkActs.revert(plan, hands)
    expect(next.run('nft list tables')).toBe('')
    next.end()
  })

  it('is not one without the table because nobody is there to let us in', async () => {
    const pod = await PosedNetwork.make()
    const plan = inject(pod.target(markOf()))
    await pod.ended()
    const { ok, stderr } = hands.ask(inNetwork(pod.pid, ['nft', 'list', 'tables']))
    expect({ ok, stderr }).toEqual({ ok: false, stderr: expect.stringMatching(/^nsenter: /) })
    expect(networkActs.proof(plan, hands)).toMatchObject({ gone: true })
  })
})

const cannot = why || cannotPose()
describe.skipIf(cannot !== '')(
  `a network with a pod's number${cannot && ` (skipped: ${cannot})`}`,
  () => {
    let container: PosedContainer
    let target: NodeTarget
    let found: FoundTarget
    const find = createFind({ pid: process.pid, root: '' }, [])
    const others: ChildProcess[] = []

    beforeEach(async () => {
      container = new PosedContainer(1, { network: true })
      await container.ready()
      const id = 'demo/web/app'
      const { podUid, containerId } = container
      target = { id, podUid, containerId, namespace: 'demo', pod: 'web', container: 'app' }
      found = { ...find(target, { byPod: false }), mark: markOf() }
    })
    afterEach(async () => {
      for (const other of others.splice(0)) other.kill('SIGKILL')
      await container.remove()
    })

    /** One more process in the network, in the cgroup of the pod or in ours. */
    async function other(isOfPod: boolean): Promise<number> {
      const child = spawn('nsenter', [`--net=/proc/${container.pid}/ns/net`, 'sleep', '600'])
      others.push(child)
      const pid = child.pid ?? 0
      const groups = isOfPod ? found.cgroups : []
      for (const group of groups) writeFileSync(`${group}/cgroup.procs`, String(pid))
      await until(5000, () => hands.netns(pid) === hands.netns(container.pid))
      return pid
    }

    async function crash(): Promise<void> {
      const { pid } = container
      container.crash()
      await until(5000, () => !readdirSync('/proc').includes(String(pid)))
    }

    it('is found by another container of the pod when the one that was chosen has had its day', () => {
      const before = { ...target, containerId: 'e'.repeat(64) }
      expect(() => find(before, { byPod: false })).toThrow(/does not run any more/)
      const { containerId } = container
      expect(find(before, { byPod: true })).toMatchObject({ containerId, pid: container.pid })
      const stranger = { ...before, podUid: randomUUID() }
      expect(() => find(stranger, { byPod: true })).toThrow(/has no process on this node/)
    })

    it('is the same one while another process of the pod lives in it', async () => {
      const plan = inject(found)
      const pid = await other(true)
      await crash()
      expect(networkActs.proof(plan, hands)).toMatchObject({
        remaining: [expect.stringContaining(`/proc/${pid}/ns/net`)],
      })
      networkActs.revert(plan, hands)
      expect(networkActs.proof(plan, hands)).not.toHaveProperty('gone')
    })

    it('is that of a stranger when none of the pod lives in it', async () => {
      const plan = inject(found)
      await other(false)
      await crash()
      expect(networkActs.proof(plan, hands)).toMatchObject({ gone: true })
    })
  },
)
