import { describe, expect, it } from 'vitest'
import type { Answer, NodeLook } from '../../faults/node-fault.ts'
import { iptables } from './iptables.ts'
import type { Means } from './means.ts'
import { netem } from './netem.ts'
import { table } from './ruleset.ts'

const turn = { device: 'chaos0', pref: 20_000, hook: true }
const netemPlan = {
  means: 'netem',
  device: 'eth0',
  handle: 'c000',
  turn,
  ip: [],
  tc: [],
  before: '[]',
} as const
const tables = [{ family: 4, rules: '', fresh: null }] as const
const plans = {
  'a table of nftables': [table, { means: 'nft', family: 'netdev', table: 'ours', ruleset: '' }],
  'netem at the root': [netem, { ...netemPlan, way: 'root' }],
  'netem beside the root': [netem, { ...netemPlan, way: 'beside' }],
  'a chain of iptables': [
    iptables,
    { means: 'iptables', make: 'nft', chain: 'ours', device: 'eth0', tables },
  ],
} as unknown as Record<string, [Means<unknown>, unknown]>

const look = { hostRoot: '' } as NodeLook
const always = (answer: Answer) => () => answer

describe.each(Object.entries(plans))('%s', (_, [means, plan]) => {
  it('is not gone because a program failed or gave no answer in time', () => {
    const noDoor = 'nsenter: cannot open /proc/7/ns/net: No such file or directory'
    for (const stderr of ['', 'Operation not permitted', noDoor]) {
      const ask = always({ ok: false, stdout: '', stderr })
      expect(() => means.left(plan, ask, look)).toThrow(/cannot be looked at/)
      expect(() => means.seen(plan, ask, look)).toThrow(/cannot be looked at/)
    }
  })

  it('is gone when the programs answer and do not know it', () => {
    const ask = always({ ok: true, stdout: '', stderr: '' })
    const left = means.left(
      plan,
      (command) => {
        const text = command.join(' ')
        // such a device is asked for by its name
        if (text.startsWith('ip link show dev chaos'))
          return { ok: false, stdout: '', stderr: 'Device "chaos0" does not exist.' }
        return ask()
      },
      look,
    )
    expect(left).toHaveProperty('proof')
  })
})
