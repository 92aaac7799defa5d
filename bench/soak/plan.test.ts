import { describe, expect, it } from 'vitest'
import { onNodes, ownVictims, planOf, sharedVictims, throughApi } from './plan.ts'

describe('the plan of a soak', () => {
  const plan = planOf({ experiments: 500, seed: 7 })

  it('is the same for the same seed, and another one for another', () => {
    expect(planOf({ experiments: 500, seed: 7 })).toEqual(plan)
    expect(planOf({ experiments: 500, seed: 8 })).not.toEqual(plan)
  })

  it('has every fault and every victim', () => {
    expect(new Set(plan.map(({ fault }) => fault))).toEqual(new Set([...onNodes, ...throughApi]))
    const victims = plan.flatMap(({ kill }) => (kill ? [kill.victim] : []))
    expect(new Set(victims)).toEqual(new Set([...ownVictims, ...sharedVictims]))
  })

  it('kills a part of a fault pod only where there is one', () => {
    const own = new Set<string>(ownVictims)
    const wrong = plan.filter(
      ({ fault, kill }) =>
        kill && own.has(kill.victim) && (throughApi as readonly string[]).includes(fault),
    )
    expect(wrong).toEqual([])
  })

  it('leaves runner and leader alone in the second half', () => {
    const shared = new Set<string>(sharedVictims)
    const killed = plan.slice(250).filter(({ kill }) => kill && shared.has(kill.victim))
    expect(killed).toEqual([])
  })
})
