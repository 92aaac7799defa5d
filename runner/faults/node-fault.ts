import type { ErrorCode } from '../../model/errors.ts'

/** A program and its arguments: commands are data, built by pure functions, run by hands. */
export type Command = readonly [program: string, ...args: string[]]

/** A container on this node as it was found when the fault was planned. JSON: it goes into the journal. */
export type FoundTarget = {
  /** `<namespace>/<pod>/<container>` */
  id: string
  /** of the cgroup below; where the pod alone matters, that of any of its containers, or of its sandbox */
  containerId: string
  /** a boot ends every process: nothing of an earlier boot is undone on a stranger */
  bootId: string
  /** the container's first process, named by pid and start time so that a reused pid is not mistaken for it */
  pid: number
  startTicks: number
  /** the container's cgroup in each hierarchy: the host's directory, read under `NodeLook.hostRoot` */
  cgroups: string[]
  /** put in front of a command so that it may write the host's cgroup files: empty, or `nsenter … -C --` */
  enter: string[]
  /** unique to this injection; carried in the environment of all that is started in the target */
  mark: string
}

export type ProcessFacts = {
  pid: number
  parent: number
  state: string
  startTicks: number
  cpuMs: number
}

/** What a command that was waited for said. */
export type Answer = { ok: boolean; stdout: string; stderr: string }

/** Reading methods: planning and proof can do no harm with them. */
export type NodeLook = {
  /** where the host's files begin: empty on a machine, `/proc/<pid>/root` in a pod */
  readonly hostRoot: string
  /** content of a file of the host, null when it is not there */
  read(path: string): string | null
  writable(path: string): boolean
  /** whether the fault program's own image has this program */
  hasProgram(name: string): boolean
  /** processor numbers that are online */
  processors(): number
  process(pid: number): ProcessFacts | null
  /** the network namespace of a process as the kernel names it (`net:[4026531840]`), null when it is gone */
  netns(pid: number): string | null
  /** a process that lives in this network namespace, the oldest; null when nobody does. `folder`: in a cgroup below one of this name */
  inNetns(netns: string, folder?: string): number | null
  /** where the host has this network namespace mounted, in its own paths; none when that cannot be read */
  pins(netns: string): string[]
  /** network namespaces of the node itself: nothing may be done in these for the sake of a pod */
  nodeNetns(): string[]
  /** runs a command that reads only, or that acts on nothing but what it makes itself; waited for */
  ask(command: Command, input?: string): Answer
  /** pids in the cgroups whose environment carries the mark, zombies excluded */
  marked(cgroups: readonly string[], mark: string): number[]
}

export type NodeHands = NodeLook & {
  /** starts a command in its own session with the mark in its environment; its end is told by `ended` */
  start(command: Command, mark: string): void
  kill(pid: number): void
  /** runs a command that acts; waited for */
  run(command: Command, input?: string): Answer
  /** why the command started with this mark ended, null while it runs */
  ended(mark: string): string | null
}

/** What was measured on the target; `sound` is compared by `alive` while the fault is held. */
export type Effect = { evidence: string; sound: number }

/** `gone`: the target itself no longer exists */
export type Proven = { proof: string; gone?: true }

/** A refusal or failure with a code of the catalogue and a sentence that says what to do next. */
export class NodeTrouble extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, reason: string) {
    super(reason)
    this.name = 'NodeTrouble'
    this.code = code
  }
}

/** The container does not run here any more, and nothing was done to it. */
export class TargetGone extends NodeTrouble {
  constructor(reason: string) {
    super('TARGET_SELECTION_ERROR', reason)
    this.name = 'TargetGone'
  }
}

/** The part of a fault that runs on the node. It handles one target; choosing, holding and retrying belong to the program. */
export type NodeFault<Params, Plan> = {
  readonly id: string
  /** What it acts on belongs to the pod: a container of it that was started again is no other target. */
  readonly outlivesContainers?: true
  /** throws NodeTrouble */
  params(raw: Record<string, unknown>): Params
  /** what is there to act with, in words; throws NodeTrouble when it is not */
  facility(target: FoundTarget, look: NodeLook, params: Params): string
  /** reads only; JSON that holds all that inject, revert and undo need */
  plan(target: FoundTarget, asked: { params: Params; holdMs: number }, look: NodeLook): Plan
  inject(plan: Plan, hands: NodeHands): void
  /** null: no effect seen yet */
  verify(plan: Plan, look: NodeLook): Effect | null
  /** null while the effect lasts, else why it does not */
  alive(plan: Plan, effect: Effect, look: NodeLook): string | null
  /** idempotent; may be called on what was never injected */
  revert(plan: Plan, hands: NodeHands): void
  /** reads again: `proof` in words, or what is left with the commands for a human */
  proof(plan: Plan, look: NodeLook): Proven | { left: string; remaining: string[] }
  /** POSIX shell lines that revert and exit 1 when something is left; `$H` is the host's root */
  undo(plan: Plan): string[]
}

/** Keeps the types of parameters and plan while the registry forgets them. */
export const defineNodeFault = <Params, Plan>(
  fault: NodeFault<Params, Plan>,
): NodeFault<Params, Plan> => fault
