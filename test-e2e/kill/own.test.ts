import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { cutTable } from '../../runner/fault-pod/network/cut.ts'
import { rulesOf } from '../../runner/fault-pod/network/iptables.ts'
import { egressTable } from '../../runner/fault-pod/network/ruleset.ts'
import { Roots } from './own.ts'
import { watchNetworkOf } from './watches.ts'

describe('first processes of stressors', () => {
  /** Looks one after the other; each gives pids with their parents. */
  const mostOf = (...looks: Record<number, number>[]): number => {
    let now: Record<number, number> = {}
    const roots = new Roots((pid) => now[pid] ?? 0)
    for (const look of looks) {
      now = look
      roots.note(Object.keys(look).map((pid) => ({ pid: Number(pid) })))
    }
    return roots.most
  }
  const one = { 10: 1, 11: 10, 12: 10 }

  it('a stressor with its workers is one', () => expect(mostOf({}, one, one, {})).toBe(1))
  it('a second one beside it is two', () =>
    expect(mostOf(one, { ...one, 20: 1, 21: 20 }, { ...one, 20: 1, 21: 20 }, one)).toBe(2))
  it('one after the other is one', () => expect(mostOf(one, one, {}, { 20: 1 }, { 20: 1 })).toBe(1))
  it('workers that have lost their parent are no stressors of their own', () =>
    expect(mostOf(one, one, { 11: 1, 12: 1 }, { 11: 1, 12: 1 })).toBe(1))
  it('a parent that ended between being listed and being asked for counts once', () =>
    expect(mostOf({ 10: 1, 11: 1 }, { 11: 1 }, {})).toBe(1))
})

describe('the network of a target', () => {
  const begun: ChildProcess[] = []
  afterEach(() => {
    for (const child of begun.splice(0)) child.kill('SIGKILL')
  })

  /** A network that nobody else is in. */
  async function posed() {
    const child = spawn('unshare', ['--net', 'sleep', '60'], { stdio: 'ignore' })
    begun.push(child)
    const { pid } = child
    if (pid === undefined) throw new Error('unshare did not start')
    const inside = (command: string, input = ''): string =>
      execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, '--', ...command.split(' ')], {
        input,
        encoding: 'utf8',
      })
    const own = execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' })
    const theirs = () => execFileSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' })
    for (const end = Date.now() + 5000; theirs() === own; await delay(10))
      if (Date.now() > end) throw new Error('it has no network of its own')
    const watch = await watchNetworkOf(pid)
    const seen = async (spans: number, ended: boolean) => {
      const is = () => {
        const list = watch.spans()
        return list.length === spans && list.every(({ to }) => (to !== undefined) === ended)
      }
      for (const end = Date.now() + 5000; !is(); await delay(20))
        if (Date.now() > end) throw new Error(`seen: ${JSON.stringify(watch.spans())}`)
    }
    return { inside, watch, seen }
  }
  const loss = (name: string) => egressTable(`chaosplane_${name}`, 'lo', ['counter drop'])
  const cut = (name: string) =>
    cutTable(
      `chaosplane_${name}`,
      { family: 'inet' },
      {
        directions: ['ingress'],
        destinations: [],
        ports: [],
        spared: [{ family: 4, address: '192.0.2.1' }],
        servers: ['80', '443'],
        outgoing: '32768-60999',
      },
    )

  it.each([
    ['a loss', loss('aa')],
    ['a cut', cut('aa')],
  ])('%s is one injection, from its begin to its end', async (_what, ruleset) => {
    const { inside, watch, seen } = await posed()
    inside('nft -f -', ruleset)
    await seen(1, false)
    inside('nft flush ruleset')
    await seen(1, true)
    expect(watch.most()).toBe(1)
    expect(await watch.difference()).toBe('')
    watch.close()
  })

  it.each([
    ['a second table', loss('bb')],
    ['the same table once more', loss('aa')],
    ['one of another family', cut('aa')],
  ])('%s while the first is there is one span and two injections', async (_what, second) => {
    const { inside, watch, seen } = await posed()
    inside('nft -f -', loss('aa'))
    await seen(1, false)
    inside('nft -f -', second)
    await delay(300)
    inside('nft flush ruleset')
    await seen(1, true)
    expect(watch.most()).toBe(2)
    watch.close()
  })

  it('a chain for each family of iptables is one injection, and a second name two', async () => {
    const { inside, watch, seen } = await posed()
    const matches = { spared: [], wanted: [{}] } as never
    const put = (chain: string) => {
      for (const [family, program] of [
        [4, 'iptables-nft-restore'],
        [6, 'ip6tables-nft-restore'],
      ] as const)
        inside(
          `${program} --noflush`,
          rulesOf(matches, family, { chain, device: 'lo', percent: 50 }),
        )
    }
    put('chaosplane_aa_tt')
    await seen(1, false)
    await delay(300)
    expect(watch.most()).toBe(1)
    put('chaosplane_bb_tt')
    await delay(300)
    expect(watch.most()).toBe(2)
    watch.close()
  })

  it('sees a queueing discipline come and go', async () => {
    const { inside, watch, seen } = await posed()
    inside('tc qdisc add dev lo root handle c001: pfifo')
    await seen(1, false)
    expect(await watch.difference()).toContain('+ qdisc pfifo c001:')
    inside('tc qdisc del dev lo root')
    await seen(1, true)
    watch.close()
  })
})
