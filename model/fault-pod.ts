/**
 * The protocol between the runner and the fault program: JSON lines, orders on stdin, events on stdout.
 * Types only: the fault program imports them, and nothing of its own may need a schema library.
 */

/** One target of a fault pod: what it takes to find its processes on the node without the API. */
export type NodeTarget = {
  /** `<namespace>/<pod>/<container>`, with `#<n>` when it is hit once more: unique within a task */
  id: string
  namespace: string
  pod: string
  podUid: string
  container: string
  /** without the `containerd://` in front */
  containerId: string
  /** its injection was reported already: it is never injected again, only put back */
  touched?: true
}

/** Travels in the pod's environment (`order-env.ts`); a pod that was warm gets it as its first command. */
export type NodeOrder = {
  protocol: 1
  /** uid of the namespace kube-system: journals of two clusters never meet */
  cluster: string
  node: string
  /** run id: unique for ever */
  run: string
  task: string
  resource: { kind: string; namespace: string; name: string; uid: string }
  /** canonical fault id, for example `pod-cpu-hog` */
  fault: string
  /** the fault's parameters, already parsed by its schema */
  params: Record<string, unknown>
  targets: NodeTarget[]
  /** how long one injection is held, milliseconds */
  holdMs: number
  /**
   * `now`: inject as soon as all targets are armed; `wait`: on the order `go`; `sweep`: never, only put back what the
   * journal holds and report it (then fault, params, holdMs say nothing)
   */
  start: 'now' | 'wait' | 'sweep'
  /** which pod of this node and task, from 1: of several programs the one of the highest looks after the journal */
  attempt: number
  /** the runner has stored events up to here; the numbers go on above, even when the journal was lost */
  after: number
  /** an armed program that nobody speaks to ends itself after this, milliseconds */
  armedForMs: number
}

/** Runner to program. */
export type NodeCommand =
  /** to a warm pod, before anything else: from now on it works for this run. One that has an order does not hear it */
  | { do: 'order'; order: NodeOrder; journal: string }
  /** first line after every attach: the last seq that the runner has stored (0: none). Answered by `hello`, then by every event after `acknowledged` */
  | { do: 'hello'; acknowledged: number }
  /** inject on these targets (all, when absent) at once, hold for holdMs, revert */
  | { do: 'go'; targets?: string[]; holdMs: number }
  /** targets that come after the start, each with its own hold: arm and inject at once. One that is known is not heard */
  | { do: 'join'; targets: (NodeTarget & { holdMs: number })[] }
  /** revert now what is injected and what would still be injected (all targets, when absent) */
  | { do: 'stop'; targets?: string[]; reason: string }
  /** events up to here are stored by the runner; the journal may forget them */
  | { do: 'ack'; seq: number }
  /** everything is reported: end the pod (what is still injected is reverted first) */
  | { do: 'quit' }

/** Why a hold ended. `deadline` is the normal end; `lost` means that the effect ended by itself. */
export type HoldEnd = 'deadline' | 'stop' | 'term' | 'lost' | 'guard'

type Stamp = {
  /** strictly increasing within one journal, from 1; survives a restart of the program */
  seq: number
  /** unix milliseconds, clock of the node */
  at: number
}

/** Program to runner. */
export type NodeEvent = Stamp &
  (
    | { event: 'armed'; target: string; facility: string }
    /** `gone`: there is no such target any more */
    | { event: 'refused'; target: string; code: string; reason: string; gone?: true }
    /** the effect was measured on the target; `evidence` says how. `endsAt` is the program's own deadline, unix milliseconds */
    | { event: 'injected'; target: string; evidence: string; endsAt: number }
    /** `heldMs`: it may have been hit before it failed, and for no longer than this */
    | {
        event: 'inject-failed'
        target: string
        code: string
        reason: string
        heldMs?: number
        gone?: true
      }
    /** the effect ended before its time: the target restarted or the injected process died */
    | { event: 'lost'; target: string; heldMs: number; reason: string }
    /** the facility was read again and is as it was (`proof` says how), or the target no longer exists */
    | {
        event: 'reverted'
        target: string
        why: HoldEnd
        /** absent: nobody knows any more */
        heldMs?: number
        proof: string
        /** the target itself has gone: there is nothing that could be as it was */
        gone?: true
        /** it was told to stop before anything was done to the target */
        untouched?: true
      }
    /** still owed, with the commands that remain for a human */
    | { event: 'revert-failed'; target: string; reason: string; remaining: string[] }
    | { event: 'log'; level: 'info' | 'warn' | 'error'; text: string }
  )

/** Answer to `hello`; not an event: it has no seq and is not journalled. */
export type NodeHello = {
  hello: 1
  /** the last seq in the journal */
  last: number
  /** the wall time of the node, unix milliseconds; absent: of a program that does not say it yet */
  now?: number
}

/** The last line after `quit`: everything is put back and reported, and the journal is gone. */
export type NodeBye = { bye: 1 }

export type NodeLine = NodeEvent | NodeHello | NodeBye
