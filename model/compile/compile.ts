import type { FaultCatalogue } from '../fault.ts'
import type { Compiled, Plan } from '../plan.ts'
import { compileChaosExperiment } from './chaos-experiment.ts'
import { compileKubernetesChaosExperiment } from './kubernetes-chaos-experiment.ts'

const compilers: Readonly<
  Record<Plan['dialect'], (doc: unknown, catalogue: FaultCatalogue) => Compiled>
> = {
  KubernetesChaosExperiment: compileKubernetesChaosExperiment,
  ChaosExperiment: compileChaosExperiment,
}

/** Compiles a document of the given kind into a plan, or says what is wrong with it; pure. */
export const compile = (kind: Plan['dialect'], doc: unknown, catalogue: FaultCatalogue): Compiled =>
  compilers[kind](doc, catalogue)
