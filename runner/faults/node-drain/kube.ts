import { setTimeout as delay } from 'node:timers/promises'
import { pods, resourcePath } from '../../../lib/kube/paths.ts'
import { ChaosError } from '../../../model/errors.ts'
import { defineHeldFault, type KubeFaultIo, type KubeTarget, type OwnIo } from '../kube-fault.ts'
import { changeNode, findNode, lastWriter, mayChangeNode, type Node } from '../nodes.ts'
import { evictAll, mayEvict } from './evict.ts'
import type { NodeDrainParams } from './index.ts'
import { type DrainedPod, fateOf, podName, wasThere, whoStays } from './pods.ts'

/**
 * `cordoned`: it was so before, and stays so. `writer`: the name under which we cordon it, by which our cordon is told
 * from one of somebody else. `going`: pods that were to go, and `newest` the moment at which the last of them was made.
 */
type Undo = {
  cordoned: boolean
  writer: string
  going: number
  newest: string
  params: NodeDrainParams
}

/** Pause between two rounds of evictions, milliseconds. */
const againMs = 1000

const isCordoned = (node: Node): boolean => node.spec?.unschedulable === true
/** Our own cordon, with its time where that is known; null: there is none, or it is somebody else's. */
function ourCordon(node: Node, { writer }: Undo): { time?: string } | null {
  if (!isCordoned(node)) return null
  const last = lastWriter(node, 'spec', 'unschedulable')
  // Somebody may have wiped who wrote what: then the undo record decides alone.
  return last === undefined || last.manager === writer ? (last ?? {}) : null
}

async function podsOn(
  target: KubeTarget,
  { kube, signal, as }: OwnIo & { as?: string },
): Promise<DrainedPod[]> {
  const query = { fieldSelector: `spec.nodeName=${target.name}` }
  const who = as === undefined ? {} : { as }
  return (await kube.list<DrainedPod>(resourcePath(pods), { signal, query, ...who })).items
}

const goingOf = (there: readonly DrainedPod[], params: NodeDrainParams): DrainedPod[] =>
  there.filter((pod) => fateOf(pod, params).fate === 'goes')

/** Those of the drain that are still there. */
function leftOf(there: readonly DrainedPod[], node: Node, undo: Undo): DrainedPod[] {
  const cordonedAt = ourCordon(node, undo)?.time ?? undo.newest
  return goingOf(there, undo.params).filter((pod) => wasThere(pod, cordonedAt))
}

function refuseObstacles(there: readonly DrainedPod[], node: string, params: NodeDrainParams) {
  const obstacles = there.flatMap((pod) => {
    const fate = fateOf(pod, params)
    return fate.fate === 'refused' ? [`${podName(pod)} ${fate.why}`] : []
  })
  if (obstacles.length > 0)
    throw new ChaosError({
      code: 'CHAOS_INJECT_ERROR',
      reason: `node ${node} cannot be drained: ${shown(obstacles)}`,
    })
}

const shown = (texts: readonly string[]): string =>
  texts.slice(0, 5).join('; ') + (texts.length > 5 ? `; and ${texts.length - 5} more` : '')

/** Drains nodes through the API. */
export const nodeDrain = defineHeldFault<NodeDrainParams, Undo>({
  lasts: 'while-held',
  id: 'node-drain',
  slots: () => ['cordon'],
  async plan(target, { params, mark }, io) {
    const node = await findNode(target, io)
    if (!node)
      throw new ChaosError({
        code: 'TARGET_SELECTION_ERROR',
        reason: `node ${target.name} is gone; select one that is there`,
      })
    const there = await podsOn(target, io)
    refuseObstacles(there, target.name, params)
    const going = goingOf(there, params)
    if (going.length === 0 && isCordoned(node))
      throw new ChaosError({
        code: 'CHAOS_INJECT_ERROR',
        reason: `node ${target.name} is cordoned and has no pod to evict, so nothing would change; choose another node`,
      })
    await Promise.all([mayChangeNode(target, io), mayEvict(going, io)])
    const newest = going.map((pod) => pod.metadata.creationTimestamp ?? '').sort()
    return {
      cordoned: isCordoned(node),
      writer: `chaosplane-${mark}`,
      going: going.length,
      newest: newest.at(-1) ?? '',
      params,
    }
  },
  async inject(target, undo, io) {
    await changeNode(target, { ...io, writer: undo.writer }, (node) =>
      isCordoned(node) ? null : { spec: { unschedulable: true } },
    )
    await sendAway(target, undo, io)
  },
  async verify(target, undo, io) {
    const node = await findNode(target, io)
    if (!node) return { missing: `node ${target.name} is gone`, gone: true }
    if (!isCordoned(node)) return { missing: `node ${target.name} is not cordoned` }
    const there = await podsOn(target, io)
    const left = leftOf(there, node, undo)
    if (left.length > 0) return { missing: `still there: ${shown(left.map(podName))}` }
    const stay = whoStays(there, undo.params)
    const gone = `${undo.going} ${undo.going === 1 ? 'pod is' : 'pods are'} gone`
    return {
      evidence: `node ${target.name} is cordoned, ${gone}${stay === '' ? '' : `; these stay: ${stay}`}`,
    }
  },
  async holds(target, _undo, io) {
    const node = await findNode(target, io)
    return node !== undefined && isCordoned(node)
  },
  injectMs: ({ timeoutMs }) => timeoutMs,
  revert: (target, undo, io) =>
    changeNode(target, io, (node) =>
      !undo.cordoned && ourCordon(node, undo) ? { spec: { unschedulable: null } } : null,
    ),
  async proof(target, undo, io) {
    const node = await findNode(target, io)
    if (!node) return { outcome: 'noLongerExists', proof: `node ${target.name} no longer exists` }
    if (!undo.cordoned && ourCordon(node, undo))
      return {
        left: `node ${target.name} is still cordoned`,
        remaining: [`kubectl uncordon ${target.name}`],
      }
    if (isCordoned(node) === undo.cordoned)
      return {
        outcome: 'restored',
        proof: `node ${target.name} is ${undo.cordoned ? 'cordoned' : 'schedulable'}, as before`,
      }
    return {
      outcome: 'changedElsewhere',
      proof: `node ${target.name}: somebody else ${undo.cordoned ? 'uncordoned' : 'cordoned'} it meanwhile, and that was left alone`,
    }
  },
})

/** Evicts until the pods are gone; at the signal it says who is left, and why. */
async function sendAway(target: KubeTarget, undo: Undo, io: KubeFaultIo): Promise<void> {
  let why = ''
  try {
    for (;;) {
      const node = await findNode(target, io)
      if (!node) return
      const left = leftOf(await podsOn(target, io), node, undo)
      if (left.length === 0) return
      const open = left.filter((pod) => pod.metadata.deletionTimestamp === undefined)
      const obstacles = await evictAll(open, io)
      why = obstacles.length > 0 ? shown(obstacles) : `still going: ${shown(left.map(podName))}`
      await delay(againMs, undefined, { signal: io.signal })
    }
  } catch (error) {
    throw io.signal.aborted && why !== '' ? new Error(why) : error
  }
}
