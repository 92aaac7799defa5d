import { describe, expect, it } from 'vitest'
import { crashPoints } from '../../lib/crash.ts'
import {
  type Fault,
  faults,
  lone,
  moments,
  nameOf,
  pairs,
  placeOf,
  privateVictims,
  quickTurns,
  turnsOf,
  victims,
  warmTurns,
} from './table.ts'

const all = Object.keys(faults) as Fault[]
const ofLevel = (...levels: string[]) => all.filter((fault) => levels.includes(faults[fault]))
const cases = turnsOf(all).flatMap((turn) => turn.cases)
const keys = new Set(cases.map((c) => [c.fault, c.moment, c.victims.join('+')].join(' ')))
const shared = victims.slice(3)
const isPrivate = (victim: string) => (privateVictims as readonly string[]).includes(victim)

describe('the kill matrix', () => {
  it('has every fault at every moment with every victim that it has', () => {
    const wanted = all.flatMap((fault) =>
      moments.flatMap((moment) =>
        (faults[fault] === 'node' ? victims : shared).map((v) => `${fault} ${moment} ${v}`),
      ),
    )
    expect(wanted.filter((key) => !keys.has(key))).toEqual([])
  })

  it('has every pair of victims at every moment, on the node and in the API', () => {
    const wanted = pairs.flatMap(([one, other]) => {
      const inApi = shared.includes(one as never) && shared.includes(other as never)
      return (inApi ? ['node', 'api'] : ['node']).flatMap((level) =>
        moments.map((moment) => ({ level, moment, pair: `${one}+${other}` })),
      )
    })
    const isThere = ({ level, moment, pair }: (typeof wanted)[number]) =>
      ofLevel(...(level === 'node' ? ['node'] : ['api', 'once'])).some((fault) =>
        keys.has(`${fault} ${moment} ${pair}`),
      )
    expect(pairs.length).toBe(36)
    expect(wanted.filter((one) => !isThere(one))).toEqual([])
  })

  it('lets every fault meet every pair that it can lose, and over the pairs every moment', () => {
    const doubles = cases.filter((c) => c.victims.length === 2)
    for (const fault of all) {
      const own = doubles.filter((c) => c.fault === fault)
      const met = new Set(own.map((c) => c.victims.join('+')))
      expect(met.size, fault).toBe(faults[fault] === 'node' ? 36 : 15)
      expect(new Set(own.map((c) => c.moment)).size, fault).toBe(moments.length)
    }
  })

  it('has no case twice', () => expect(keys.size).toBe(cases.length))

  it('gives a turn one set of victims, a case for each moment, and at most one more for whole nodes', () => {
    for (const { victims: dying, cases: own } of turnsOf(all).filter(({ part }) => !part)) {
      expect(own.slice(0, moments.length).map(({ moment }) => moment)).toEqual(moments)
      expect(own.slice(0, moments.length).some(({ fault }) => fault === lone)).toBe(false)
      expect(['', lone]).toContain(
        own
          .slice(moments.length)
          .map(({ fault }) => fault)
          .join(),
      )
      expect(own.every((c) => c.victims === dying)).toBe(true)
    }
  })

  it('has two turns for what all its cases would lose at once and need again at once', () => {
    const parts = turnsOf(all).filter(({ part }) => part)
    const names = parts.map(({ victims: dying }) => dying.join('+'))
    const pairsInTwo = ['fault pod+runner', 'fault pod+operator', 'fault pod+control plane']
    expect(names.toSorted()).toEqual([...pairsInTwo, ...pairsInTwo].toSorted())
    for (const name of pairsInTwo) {
      const own = parts.filter(({ victims: dying }) => dying.join('+') === name)
      const inOrder = own.toSorted((a, b) => (a.part ?? 0) - (b.part ?? 0))
      expect(inOrder.map(({ cases: c }) => c.length)).toEqual([4, 3])
      expect(inOrder.flatMap(({ cases: c }) => c).map(({ moment }) => moment)).toEqual(moments)
    }
  })

  it('calls no two turns by the same name', () => {
    const names = turnsOf(all).map(nameOf)
    expect(new Set(names).size).toBe(names.length)
  })

  it('leaves out a fault that the machine cannot do', () => {
    const known = all.filter((fault) => fault !== 'pod-network-latency')
    const left = turnsOf(known).flatMap((turn) => turn.cases)
    expect(left.some(({ fault }) => fault === 'pod-network-latency')).toBe(false)
    expect(left.length).toBe(cases.length - 9 * moments.length)
  })

  it('has a quick part in which every victim dies, with every fault', () => {
    const part = quickTurns().flatMap((turn) => turn.cases)
    expect(new Set(part.flatMap((c) => c.victims))).toEqual(new Set(victims))
    const left = all.filter((fault) => !part.some((c) => c.fault === fault))
    // not every kernel has what the one needs, and the other takes nodes that a small cluster does not have
    expect(left).toEqual(['pod-network-latency', 'node-drain'])
    expect(part.every((c) => faults[c.fault] === 'node' || !c.victims.some(isPrivate))).toBe(true)
  })

  it('meets a run with a warm pod before and after the claim', () => {
    const points = warmTurns().map(({ cases: [one] }) => one?.point)
    expect(points).toEqual(['runner/pod-recorded', 'runner/pod-created'])
  })

  it('names a place in the source for every moment', () => {
    for (const fault of all)
      for (const moment of moments) {
        const { point } = placeOf({ fault, moment })
        expect(crashPoints[point]).toBeTruthy()
        expect(point.startsWith(faults[fault] === 'node' ? 'program/' : 'runner/')).toBe(true)
      }
  })
})
