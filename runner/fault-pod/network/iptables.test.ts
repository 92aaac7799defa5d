import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Hands } from '../hands.ts'
import { cannotNetwork, PosedNetwork } from '../testing/network.ts'
import { nameFor } from './acts.ts'
import { type IptablesPlan, iptables, planIptables } from './iptables.ts'
import type { Inside } from './means.ts'
import { inNetwork } from './namespace.ts'

const why = cannotNetwork()
const hands = new Hands('', process.env, [process.pid])
const base = 'type filter hook postrouting priority mangle ; policy accept ;'

describe.skipIf(why !== '')(`the table mangle${why && ` (skipped: ${why})`}`, () => {
  let pod: PosedNetwork
  let peer: PosedNetwork
  let before: string
  const ask: Inside = (command, input) => hands.run(inNetwork(pod.pid, command), input)

  beforeEach(async () => {
    ;[pod, peer] = await Promise.all([PosedNetwork.make(), PosedNetwork.make()])
    pod.cable(peer, 'eth0', { mine: ['10.9.0.1/24', 'fd09::1/64'], theirs: [] })
  })
  afterEach(() => {
    for (const one of [pod, peer]) one?.end()
  })

  function plan(mark: string, inside = ask): IptablesPlan {
    const target = pod.target(`run/task/${mark}`)
    const matches = { spared: [], wanted: [{}] }
    const chain = nameFor(target)
    const asked = { make: 'nft', chain, device: 'eth0', percent: 50, matches } as const
    const planned = planIptables(target, asked, { ask: inside, look: hands })
    return JSON.parse(JSON.stringify(planned))
  }
  function begin(mark: string): IptablesPlan {
    const planned = plan(mark)
    iptables.inject(planned, ask, hands)
    expect(iptables.seen(planned, ask, hands)).toContain('so far')
    return planned
  }
  const script = (planned: IptablesPlan, inNet = '"$@"') =>
    pod.run('sh', [`in_net() { ${inNet}; }`, ...iptables.undo(planned), ''].join('\n'))

  const ways = {
    'the program': (planned: IptablesPlan) => iptables.revert(planned, ask, hands),
    'the undo file': script,
  }
  /** What was there before the first of ours. */
  const starts: Record<string, string[]> = {
    nothing: [],
    'a table': ['nft add table ip mangle'],
    'a table with a chain that is empty': [
      'nft add table ip mangle',
      `nft add chain ip mangle POSTROUTING { ${base} }`,
    ],
    'a rule of somebody': ['ip6tables-nft -t mangle -A POSTROUTING -o net1 -j ACCEPT'],
  }

  describe.each(Object.entries(ways))('put back by %s', (_, end) => {
    it.each(Object.entries(starts))(
      'after two at a time is what it was: %s',
      (_start, commands) => {
        for (const command of commands) pod.run(command)
        before = pod.image()
        const [first, second] = [begin('a'), begin('b')]
        end(first)
        expect(iptables.seen(second, ask, hands)).toContain('so far')
        end(second)
        expect(pod.image()).toBe(before)
        const [third, fourth] = [begin('c'), begin('d')]
        end(fourth)
        end(third)
        expect(pod.image()).toBe(before)
      },
    )

    it('goes with the last of many, of which each knew only the one before', () => {
      before = pod.image()
      let last = begin('a')
      for (const mark of ['b', 'c', 'd']) {
        const next = begin(mark)
        end(last)
        last = next
      }
      end(last)
      expect(pod.image()).toBe(before)
    })

    it('stays when somebody has begun to use it between the first of ours and the second', () => {
      const first = begin('a')
      pod.run('iptables-nft -t mangle -A PREROUTING -i net1 -j ACCEPT')
      pod.run('ip6tables-nft -t mangle -A POSTROUTING -o net1 -j ACCEPT')
      const second = begin('b')
      end(first)
      end(second)
      expect(pod.run('iptables-nft -t mangle -S')).toContain('-A PREROUTING -i net1 -j ACCEPT')
      expect(pod.run('ip6tables-nft -t mangle -S')).toContain('-A POSTROUTING -o net1 -j ACCEPT')
      expect(pod.image()).not.toContain('chaosplane_')
    })
  })

  it('stays when it cannot be seen whether somebody uses it', () => {
    const planned = begin('a')
    pod.run('iptables-nft -t mangle -A PREROUTING -i net1 -j ACCEPT')
    script(planned, 'case "$*" in "nft list "*) return 1;; esac; "$@"')
    expect(pod.run('iptables-nft -t mangle -S')).toContain('-A PREROUTING -i net1 -j ACCEPT')
  })

  it('is not taken for one that is not there because there was no answer', () => {
    const mute: Inside = (command, input) =>
      command[0] === 'nft' ? { ok: false, stdout: '', stderr: '' } : ask(command, input)
    expect(() => plan('a', mute)).toThrow(/cannot be looked at/)
  })
})
