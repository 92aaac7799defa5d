import type { Action } from '../engine/action.ts'
import type { Execute } from '../engine/loop.ts'
import type { Actor, Carry } from './actor.ts'
import { follow } from './follow.ts'
import { check } from './health.ts'
import { inject } from './inject.ts'
import { attend, close, go, join, stop, suspend } from './node.ts'
import { oversee } from './oversee.ts'
import { prepare } from './prepare.ts'
import { probe, watch } from './probe.ts'
import { restore } from './restore.ts'
import { settle, spare, strike } from './strike.ts'

type Table = { [K in Action['do']]: Carry<Extract<Action, { do: K }>> }
const table: Table = {
  prepare,
  check,
  probe,
  watch,
  attend,
  strike,
  spare,
  settle,
  inject,
  restore,
  oversee,
  go,
  join,
  follow,
  suspend,
  stop,
  close,
}

/** Does what the engine wants, by the name of the action. */
export const carryOut =
  (actor: Actor): Execute =>
  (action, emit, signal) =>
    (table[action.do] as Carry<Action>)(action, actor, { emit, signal })
