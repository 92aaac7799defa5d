import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Hands } from '../hands.ts'
import { cannotNetwork, PosedNetwork } from '../testing/network.ts'
import type { Inside } from './means.ts'
import { inNetwork } from './namespace.ts'
import { type NetemPlan, netem, planNetem } from './netem.ts'

const why = cannotNetwork()

describe.skipIf(why !== '')(`the root of a device${why && ` (skipped: ${why})`}`, () => {
  let pod: PosedNetwork
  let peer: PosedNetwork
  let plan: NetemPlan
  let before: string
  const hands = new Hands('', process.env, [process.pid])
  const ask: Inside = (command, input) => hands.run(inNetwork(pod.pid, command), input)

  beforeEach(async () => {
    ;[pod, peer] = await Promise.all([PosedNetwork.make(), PosedNetwork.make()])
    pod.cable(peer, 'eth0', { mine: [], theirs: [] })
  })
  afterEach(() => {
    for (const one of [pod, peer]) one?.end()
  })

  /** A discipline that every kernel has stands where netem would: what is left of it is the same. */
  function inject(): void {
    before = pod.image()
    const matches = { spared: [], wanted: [{}] }
    const asked = { device: 'eth0', matches, netem: 'delay 1ms' }
    const planned = planNetem(pod.target('run/task/0'), asked, { ask, look: hands })
    const tc = [`qdisc add dev eth0 root handle ${planned.handle}: pfifo`]
    plan = JSON.parse(JSON.stringify({ ...planned, tc }))
    netem.inject(plan, ask, hands)
    expect(pod.image()).not.toBe(before)
  }
  const undo = () => pod.run('sh', ['in_net() { "$@"; }', ...netem.undo(plan), ''].join('\n'))
  const revert = () => netem.revert(plan, ask, hands)
  const ways = { 'the program': revert, 'the undo file': undo }

  describe.each(Object.entries(ways))('put back by %s', (_, putBack) => {
    it.each([0, 500, 1000])('has a queue length of %i as before', (length) => {
      pod.run(`ip link set dev eth0 txqueuelen ${length}`)
      inject()
      putBack()
      expect(pod.image()).toBe(before)
      expect(netem.left(plan, ask, hands)).toHaveProperty('proof')
      putBack()
      expect(pod.image()).toBe(before)
    })

    it('keeps the length on which the root counts that somebody has put in its place', () => {
      pod.run('ip link set dev eth0 txqueuelen 0')
      inject()
      pod.run('tc qdisc replace dev eth0 root handle 7: pfifo')
      const theirs = pod.image()
      putBack()
      expect(pod.image()).toBe(theirs)
      expect(netem.left(plan, ask, hands)).toHaveProperty('proof')
    })
  })

  it('is not proven to be as before while it has the length that came with ours', () => {
    pod.run('ip link set dev eth0 txqueuelen 0')
    inject()
    pod.run(`tc qdisc del dev eth0 root handle ${plan.handle}:`)
    expect(netem.left(plan, ask, hands)).toMatchObject({
      remaining: ['ip link set dev eth0 txqueuelen 0'],
    })
  })
})
