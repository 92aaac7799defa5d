import { type Answer, type Command, type NodeLook, NodeTrouble } from '../../faults/node-fault.ts'

/** Runs a command in the network of the pod. */
export type Inside = (command: Command, input?: string) => Answer

/** What is left of a fault, as proof that it is nothing or with the commands for a human. */
export type Left = { proof: string } | { left: string; remaining: string[] }

/**
 * One means of the kernel to do something to the packets of a pod. `Plan` is JSON and holds all that is needed to
 * act and to undo.
 */
export type Means<Plan> = {
  /** throws NodeTrouble; what was done until then is undone by `revert` */
  inject(plan: Plan, run: Inside, look: NodeLook): void
  /** where it is at work and how many packets have met it; null: it is not there. Throws when that cannot be seen */
  seen(plan: Plan, ask: Inside, look: NodeLook): string | null
  /** idempotent, and harmless to what was never injected */
  revert(plan: Plan, run: Inside, look: NodeLook): void
  /** throws when that cannot be seen: what was not seen to be gone is not gone */
  left(plan: Plan, ask: Inside, look: NodeLook): Left
  /** shell lines that call `in_net` for what is to run in the pod's network, and end with 1 when something is left */
  undo(plan: Plan): string[]
}

/** `5 packets`, `1 packet`. */
export const packetsOf = (count: number): string => `${count} packet${count === 1 ? '' : 's'}`

/** The first line of what a program complained of. */
export const complaint = ({ stderr, stdout }: Answer): string =>
  (stderr.trim() || stdout.trim()).split('\n')[0] ?? ''

/**
 * Whether a look found its object: false when the program says in these words that there is none. Throws NodeTrouble
 * when it says anything else, or nothing in time: a starved node does not answer, and that is no proof.
 */
export function isThere(answer: Answer, absent: string): boolean {
  if (answer.ok) return true
  // nsenter's own complaint is of the way in, not of what is behind it.
  if (answer.stderr.includes(absent) && !answer.stderr.startsWith('nsenter:')) return false
  throw new NodeTrouble(
    'HELPER_ERROR',
    `The pod's network cannot be looked at: ${complaint(answer) || 'no answer in time'}`,
  )
}

/** What this process lacks to try anything in a network of its own; null: the kernel itself says no. */
function missingCapability(look: NodeLook): 'SYS_ADMIN' | 'NET_ADMIN' | null {
  const inNew = (...command: string[]) => look.ask(['unshare', '--net', '--', ...command]).ok
  if (!inNew('true')) return 'SYS_ADMIN'
  return inNew('ip', 'link', 'set', 'lo', 'up') ? null : 'NET_ADMIN'
}

/** The refusal when no means was found. What a program may not try looks like what the kernel does not have. */
export function noMeans(look: NodeLook, reason: string): NodeTrouble {
  const missing = missingCapability(look)
  return new NodeTrouble(
    'HELPER_ERROR',
    missing === null
      ? reason
      : `Networks cannot be changed from here: the fault pod needs the capability ${missing} (with SYS_ADMIN, NET_ADMIN and SYS_PTRACE a network fault has all that it needs), and no AppArmor, SELinux or seccomp profile that takes it away.`,
  )
}
