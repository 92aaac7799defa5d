import type { Scope } from '../../model/wire/kserver.ts'

/** One state of a run, encoded for the wire. */
export type Snapshot = {
  run: string
  infra: string
  scope: Scope
  /** rises with every snapshot of a run within the life of this process */
  seq: number
  /** the CREATE: sent before all others, never replaced */
  create: boolean
  /** the last one: nothing follows */
  completed: boolean
  body: string
}
