import type { KubeClient } from '../../lib/kube/client.ts'
import type { EventRecorder } from '../../lib/kube/events.ts'
import type { Log } from '../../lib/log.ts'
import {
  abandonAnnotation,
  abandonReason,
  isOwed,
  noReasonText,
  nothingOwedText,
} from '../../model/abandon.ts'
import type { RunState } from '../../model/state.ts'
import type { FactBody } from '../engine/fact.ts'
import type { Experiment, Resource } from './resource.ts'

type Parts = {
  kube: KubeClient
  events: EventRecorder
  resource: Resource
  log: Log
  /** resolves when the run is ours and all that was told so far is stored; rejects when that will not be */
  recorded(): Promise<void>
}
type Loop = { readonly state: RunState; emit(fact: FactBody): void }

const takeOffMs = 10_000

/** Hears the annotation by which a human gives up what cannot be put back. Each is considered once, when it is seen. */
export class AbandonEar {
  readonly #parts: Parts
  #heard: string | null = null

  constructor(parts: Parts) {
    this.#parts = parts
  }

  heed(object: Experiment, loop: Loop): void {
    const reason = abandonReason(object.metadata.annotations)
    if (reason === this.#heard) return
    this.#heard = reason
    if (reason === null) return
    if (reason === '') this.#say('AbandonRefused', noReasonText)
    else if (!loop.state.tasks.some(({ targets }) => targets.some(isOwed)))
      this.#say('AbandonIgnored', nothingOwedText)
    else {
      loop.emit({ fact: 'aborted', by: `annotation ${abandonAnnotation}` })
      loop.emit({ fact: 'abandoned', reason })
    }
    void this.#takeOff(object)
  }

  #say(reason: string, note: string): void {
    const { apiVersion, kind, name, namespace, uid } = this.#parts.resource
    const metadata = { name, namespace, uid, resourceVersion: '' }
    this.#parts.events.record({
      regarding: { apiVersion, kind, metadata },
      type: 'Warning',
      reason,
      note,
    })
  }

  /**
   * It counts once: what is owed later is not given up by it. At the end of the run it goes in any case. Taken off before
   * its effect is on record it would be lost with a runner that dies, or that another one was ahead of.
   */
  async #takeOff({ metadata }: Experiment): Promise<void> {
    const { kube, resource, log, recorded } = this.#parts
    const path = `/metadata/annotations/${abandonAnnotation.replaceAll('/', '~1')}`
    const value = metadata.annotations?.[abandonAnnotation]
    try {
      const ops = [
        { op: 'test' as const, path, value },
        { op: 'remove' as const, path },
      ]
      await recorded()
      await kube.jsonPatch(resource.path, ops, { signal: AbortSignal.timeout(takeOffMs) })
    } catch (error) {
      log.debug({ err: error }, 'the abandon annotation stays until the end of the run')
    }
  }
}
