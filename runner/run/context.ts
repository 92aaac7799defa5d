import type { SteadyClock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import type { EventRecorder } from '../../lib/kube/events.ts'
import type { Log } from '../../lib/log.ts'
import type { FaultCatalogue } from '../../model/fault.ts'
import type { PodSettings, TaskPlan } from '../../model/plan.ts'
import type { SessionParts } from '../hands/node-parts.ts'
import type { ProbeIo } from '../probes/probe-io.ts'
import type { KserverClient } from '../report/kserver.ts'
import type { Identity } from './claim.ts'
import type { KillSwitch } from './kill-switch.ts'
import type { Ledger } from './ledger.ts'
import type { Peers } from './projections.ts'
import type { Protection } from './protection.ts'
import type { Pulse } from './pulse.ts'
import type { Resource } from './resource.ts'
import type { Account } from './rights.ts'

/** What all runs of one runner share. */
export type RunnerContext = {
  me: Identity
  /** whether others know that this runner lives */
  pulse: Pulse
  killSwitch: KillSwitch
  protection: Protection
  ledger: Ledger
  /** namespace of the product: fault pods live here */
  namespace: string
  /** account of experiments that name none */
  defaultAccount: string
  kube: KubeClient
  /** what only an Event can tell, because status cannot be written */
  events: EventRecorder
  clock: SteadyClock
  log: Log
  /** uid of kube-system: journals of two clusters never meet */
  cluster: string
  faults: FaultCatalogue
  sessions: Omit<SessionParts, 'retain' | 'podOf' | 'warm'>
  /** makes fault pods with the settings of one task */
  pods(task: TaskPlan): SessionParts['podOf']
  /** warm pods, for tasks that may use them */
  warm(task: TaskPlan): SessionParts['warm']
  probeIo(place: ProbePlace): ProbeIo
  peers: Peers
  /** absent: no control plane is told */
  kserver: KserverClient | null
  /** a number in [0, 1), for seeds */
  random(): number
  /** a new run id */
  newId(): string
}

/** Where the probes of one task run, and as whom. */
export type ProbePlace = {
  namespace: string
  account: Account
  resource: Resource
  runId: string
  task: string
  /** what the experiment says about its pods */
  pods: PodSettings
}
