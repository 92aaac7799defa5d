import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import type { TaskPlan } from '../../model/plan.ts'
import type { RunState } from '../../model/state.ts'
import { RunLoop } from '../engine/loop.ts'
import { planOf, shapeOf as usualShapeOf } from '../engine/testing.ts'
import { faultCatalogue } from '../faults/catalogue.generated.ts'
import { findTargetsOf } from '../hands/look.ts'
import type { RunnerContext } from '../run/context.ts'
import type { Actor } from './actor.ts'
import { createAlone } from './alone.ts'
import { carryOut } from './carry-out.ts'

type Posed = Pick<Actor, 'account' | 'resource'> &
  Pick<RunnerContext, 'kube' | 'namespace'> &
  Partial<Pick<Actor, 'durable' | 'mayAct'> & Pick<RunnerContext, 'protection'>> & {
    observe?(state: RunState): void
    shapeOf?: typeof usualShapeOf
  }

/** Nothing is protected and nothing is capped. */
export const unprotected: RunnerContext['protection'] = {
  caps: { perExperiment: null, percent: null, perCluster: null, percentOfCluster: null },
  minHealthy: null,
  namespaces: { own: '', allowed: [], denied: [], isLabelled: () => false },
  hostsProduct: () => false,
  othersThan: () => [],
  clusterSize: async () => 0,
}

/** One life of a runner: the engine with its real actions, on one task; nothing is written to a resource. */
export function posedRun(
  task: TaskPlan,
  state: RunState,
  {
    kube,
    namespace,
    account,
    resource,
    durable = async () => {},
    mayAct = async () => {},
    observe = () => {},
    protection = unprotected,
    shapeOf = usualShapeOf,
  }: Posed,
): { loop: RunLoop; actor: Actor; end: AbortController } {
  const end = new AbortController()
  const clock = systemClock
  const plan = planOf([task])
  const context = {
    ...{ kube, clock, namespace, protection },
    faults: faultCatalogue,
    random: () => 0.5,
  }
  const actor: Actor = {
    context: context as unknown as RunnerContext,
    clock,
    log: silentLog(),
    plan,
    resource,
    account,
    signal: end.signal,
    state: () => loop.state,
    room: 900_000,
    durable,
    stored: async () => {},
    mayAct,
    accountExists: async () => {},
    probes: new Map(),
    probeIo: () => {
      throw new Error('a posed run has no probes')
    },
    mask: (text) => text,
    since: new Map(),
    strikes: new Map(),
    alone: createAlone(),
    holds: new Map(),
    sessions: new Map(),
    presentTargets: async () => [],
    findTargets: (of, wave, signal) =>
      findTargetsOf(of, wave, { kube, account, seed: state.seed, signal }),
  }
  const execute = carryOut(actor)
  const loop: RunLoop = new RunLoop({ plan, state, shapeOf, execute, clock, observe })
  return { loop, actor, end }
}
