import { reach } from '../../lib/crash.ts'
import type { HoldEnd } from '../../model/fault-pod.ts'
import type { Effect, NodeFault, Proven } from '../faults/node-fault.ts'
import { NodeTrouble } from '../faults/node-fault.ts'
import type { Unstamped } from './channel.ts'
import type { Hands } from './hands.ts'
import type { GuardNote, Planned } from './journal.ts'

export type AnyNodeFault = NodeFault<unknown, unknown>

/** What a hold needs of the program around it. `monotonic` is in milliseconds and never jumps. */
export type HoldWorld = {
  fault: AnyNodeFault
  hands: Hands
  emit(event: Unstamped): void
  now(): number
  monotonic(): number
  /** what the guard has said of this go, if it has run its undo file or has begun to */
  guardNote(): GuardNote | undefined
  /** the guard's own deadline for this go has passed */
  tooLate(): boolean
}

/**
 * Each of many targets that are hit at once gets less of the machine: it has longer to show an effect, and is looked at
 * less often, or the looks alone would take the CPU that the effect needs. Milliseconds.
 */
const verifyLimitMs = (many: number): number => 3000 + 50 * many
const verifyEveryMs = (many: number): number => Math.max(4, many)
const aliveEveryMs = (many: number): number => Math.max(200, 5 * many)
/** a killed process of a starved cgroup may need seconds of waiting before it gets the CPU time to die */
const proofLimitMs = 5000
/** the hold counts from the effect, but no later than this after the act: what is started carries its own limit */
export const latestStartMs = 500

/** A hold that the guard ends by more than this before its deadline is cut short, milliseconds. */
const guardEarlyMs = 500

type Wake = { end: HoldEnd; reason?: string }

const cutShort: Partial<Record<HoldEnd, string>> = {
  lost: 'the effect ended by itself',
  term: 'the fault pod was ended (evicted, drained, preempted or deleted)',
}

/** One injection on one target from the act to the proof. */
export class Hold {
  readonly target: string
  readonly #world: HoldWorld
  readonly #many: number
  readonly #limitMs: number
  readonly #planned: Planned
  readonly #holdMs: number
  #wake: ((wake: Wake) => void) | null = null
  #look: (() => void) | null = null
  #asked: Wake | null = null
  #actAt = 0
  #effectAt = 0
  #effectUnix = 0

  /** `many`: targets that are hit at once, this one among them */
  constructor(
    world: HoldWorld,
    planned: Planned,
    { holdMs, many }: { holdMs: number; many: number },
  ) {
    this.#many = many
    this.#limitMs = verifyLimitMs(many)
    this.target = planned.found.id
    this.#world = world
    this.#planned = planned
    this.#holdMs = holdMs
  }

  /** Ends the hold; the first reason counts. */
  end(wake: Wake): void {
    this.#asked ??= wake
    this.#wake?.(this.#asked)
  }

  /** The act alone: quick and synchronous, so that all targets of a go start together. */
  inject(): void {
    CRASH: reach('program/injecting')
    this.#actAt = this.#world.monotonic()
    // What is done after the guard has looked, nobody would undo when this program dies.
    if (this.#world.tooLate() || this.#world.guardNote()) {
      const reason =
        'The guard had put back what was not done yet: the program was stopped, or the node had no time for it, for longer than the whole hold. Nothing was done to the target'
      this.end({ end: 'lost', reason })
      return
    }
    try {
      this.#world.fault.inject(this.#planned.plan, this.#world.hands)
    } catch (thrown) {
      this.end({ end: 'lost', reason: thrown instanceof Error ? thrown.message : String(thrown) })
    }
  }

  /** From the act on: verify, hold, revert, prove. Resolves when nothing is owed any more. */
  async settle(): Promise<void> {
    const effect = await this.#seeEffect()
    if (!effect) return this.#fail()
    CRASH: reach('program/effect-seen')
    const deadline = Math.min(this.#effectAt, this.#actAt + latestStartMs) + this.#holdMs
    const endsAt = Math.round(this.#world.now() + deadline - this.#world.monotonic())
    this.#world.emit({ event: 'injected', target: this.target, evidence: effect.evidence, endsAt })
    CRASH: reach('program/holding')
    const woken = await this.#rest(effect, deadline)
    CRASH: reach('program/ended')
    const guarded = this.#world.guardNote()
    const cut = woken.end === 'lost' || woken.end === 'term'
    // The guard counts from the plan: of a program that was late to act it does not leave the whole hold.
    const early = guarded !== undefined && guarded.at < endsAt - guardEarlyMs
    if ((cut && guarded?.why !== 'deadline') || early)
      this.#world.emit({
        event: 'lost',
        target: this.target,
        heldMs: this.#heldMs(guarded),
        reason: guarded
          ? early && guarded.why === 'deadline'
            ? 'the guard put it back at its own deadline, for the program had begun late (it was stopped, or the node had no time for it)'
            : `the guard put it back, as it found no program at work (${guarded.why})`
          : (woken.reason ?? cutShort[woken.end] ?? 'it ended'),
      })
    CRASH: reach('program/lost')
    const proven = await this.#revert()
    const by = this.#world.guardNote()
    this.#world.emit({
      event: 'reverted',
      target: this.target,
      why: by ? 'guard' : woken.end,
      heldMs: this.#heldMs(by),
      ...proven,
    })
    CRASH: reach('program/reported')
  }

  async #seeEffect(): Promise<Effect | null> {
    const { fault, hands, monotonic } = this.#world
    const { plan, found } = this.#planned
    // What has been stopped for long looks at least once before it says that there is nothing.
    for (let isLast = false; !this.#asked && !isLast; ) {
      isLast = monotonic() - this.#actAt >= this.#limitMs
      const effect = fault.verify(plan, hands)
      if (effect) {
        this.#effectAt = monotonic()
        this.#effectUnix = this.#world.now()
        return effect
      }
      const ended = hands.ended(found.mark)
      if (ended) this.end({ end: 'lost', reason: ended })
      else if (!isLast) await pause(verifyEveryMs(this.#many))
    }
    return null
  }

  /** No effect: put back first, then say so. Stopped before the effect is an ordinary, early end. */
  async #fail(): Promise<void> {
    const asked = this.#asked
    CRASH: reach('program/failed')
    const proven = await this.#revert()
    // Whether it was hit is not known, but for how long it can have been at most.
    const heldMs = Math.round(this.#world.monotonic() - this.#actAt)
    if (asked && asked.end !== 'lost')
      return this.#world.emit({
        event: 'reverted',
        target: this.target,
        why: asked.end,
        heldMs,
        ...proven,
      })
    this.#world.emit({
      event: 'inject-failed',
      target: this.target,
      code: asked ? 'CHAOS_INJECT_ERROR' : 'EFFECT_NOT_SEEN',
      reason: asked?.reason
        ? `${asked.reason}. It was put back: ${proven.proof}.`
        : `No effect was measured within ${this.#limitMs / 1000} s. It was put back: ${proven.proof}.`,
      ...(proven.gone ? { gone: true } : {}),
      ...(asked ? {} : { heldMs }),
    })
  }

  /** `until`: by the clock that never jumps, so that a program that is stopped meanwhile is not late. */
  #rest(effect: Effect, until: number): Promise<Wake> {
    if (this.#asked) return Promise.resolve(this.#asked)
    const { fault, hands } = this.#world
    const { plan, found } = this.#planned
    return new Promise((resolve) => {
      this.#look = () => {
        const reason = fault.alive(plan, effect, hands) ?? hands.ended(found.mark)
        if (reason) this.end({ end: 'lost', reason })
      }
      const watch = setInterval(this.#look, aliveEveryMs(this.#many))
      const left = Math.max(0, until - this.#world.monotonic())
      const deadline = setTimeout(() => this.end({ end: 'deadline' }), left)
      this.#wake = (wake) => {
        clearInterval(watch)
        clearTimeout(deadline)
        resolve(wake)
      }
    })
  }

  /** A command that we started has ended: look at once instead of at the next round. */
  childEnded(mark: string): void {
    if (mark === this.#planned.found.mark && !this.#asked) this.#look?.()
  }

  #heldMs(guarded: GuardNote | undefined): number {
    const held = guarded ? guarded.at - this.#effectUnix : this.#world.monotonic() - this.#effectAt
    return Math.max(0, Math.round(held))
  }

  #revert(): Promise<Proven> {
    return revertUntilProven(this.#world, this.#planned)
  }
}

/** Reverts, proves, and tries again for ever; says once what is left. */
export async function revertUntilProven(
  { fault, hands, emit, monotonic }: Pick<HoldWorld, 'fault' | 'hands' | 'emit' | 'monotonic'>,
  { plan, found }: Planned,
): Promise<Proven> {
  let told = false
  let waitMs = 1
  for (const from = monotonic(); ; ) {
    CRASH: reach('program/reverting')
    const result = tryRevert(fault, plan, hands)
    if ('proof' in result) {
      CRASH: reach('program/proven')
      return result
    }
    if (!told && monotonic() - from > proofLimitMs) {
      told = true
      emit({
        event: 'revert-failed',
        target: found.id,
        reason: result.left,
        remaining: result.remaining,
      })
    }
    await pause(waitMs)
    waitMs = Math.min(waitMs * 1.5, told ? 10_000 : 20)
  }
}

/** Nothing is left to be put back, as far as can be read. */
export function isClean(fault: AnyNodeFault, plan: unknown, hands: Hands): boolean {
  try {
    return 'proof' in fault.proof(plan, hands)
  } catch {
    return false
  }
}

function tryRevert(
  fault: AnyNodeFault,
  plan: unknown,
  hands: Hands,
): ReturnType<AnyNodeFault['proof']> {
  try {
    fault.revert(plan, hands)
    CRASH: reach('program/reverted')
    return fault.proof(plan, hands)
  } catch (thrown) {
    const left =
      thrown instanceof NodeTrouble || thrown instanceof Error ? thrown.message : String(thrown)
    return { left, remaining: fault.undo(plan) }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
