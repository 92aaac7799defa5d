import { ChaosError } from '../../../model/errors.ts'
import { defineHeldFault, type KubeTarget } from '../kube-fault.ts'
import { changeNode, findNode, mayChangeNode, type Node } from '../nodes.ts'
import type { NodeTaintParams } from './index.ts'
import { sameKey, sameTaint, type Taint, taintText, withTaint } from './taints.ts'

/** For each taint what stood there with the same key and effect. */
type Undo = { taints: { ours: Taint; before: Taint | null }[] }

const taintsOf = (node: Node): Taint[] => node.spec?.taints ?? []
const like = (node: Node, taint: Taint): Taint | null =>
  taintsOf(node).find((t) => sameKey(t, taint)) ?? null

/** Taints of a node through the API. */
export const nodeTaint = defineHeldFault<NodeTaintParams, Undo>({
  lasts: 'while-held',
  id: 'node-taint',
  slots: (_, { taints }) => taints.map(({ key, effect }) => `taint ${key}:${effect}`),
  async plan(target, { params }, io) {
    const node = await findNode(target, io)
    if (!node)
      throw new ChaosError({
        code: 'TARGET_SELECTION_ERROR',
        reason: `node ${target.name} is gone; select one that is there`,
      })
    const there = params.taints.find((t) => sameTaint(like(node, t as Taint), t as Taint))
    if (there)
      throw new ChaosError({
        code: 'CHAOS_INJECT_ERROR',
        reason: `node ${target.name} has the taint ${taintText(there as Taint)} already, so nothing would change; choose another key or value`,
      })
    await mayChangeNode(target, io)
    return {
      taints: params.taints.map((t) => ({ ours: t as Taint, before: like(node, t as Taint) })),
    }
  },
  inject: (target, { taints }, io) =>
    changeNode(target, io, (node) => {
      const open = taints.filter(({ ours, before }) => sameTaint(like(node, ours), before))
      return open.length === 0
        ? null
        : patchOf(
            node,
            open.map(({ ours }) => ({ like: ours, now: ours })),
          )
    }),
  async verify(target, { taints }, io) {
    const named = taints.map(({ ours }) => taintText(ours)).join(', ')
    const node = await findNode(target, io)
    if (!node) return { missing: `node ${target.name} is gone`, gone: true }
    if (!hasOurs(node, { taints }))
      return { missing: `node ${target.name} has not (all of) ${named}` }
    return { evidence: `node ${target.name} has ${named}` }
  },
  holds: async (target, undo, io) => hasOurs(await findNode(target, io), undo),
  injectMs: () => 60_000,
  revert: (target, { taints }, io) =>
    changeNode(target, io, (node) => {
      const open = taints.filter(({ ours }) => sameTaint(like(node, ours), ours))
      return open.length === 0
        ? null
        : patchOf(
            node,
            open.map(({ ours, before }) => ({ like: ours, now: before })),
          )
    }),
  async proof(target, { taints }, io) {
    const node = await findNode(target, io)
    if (!node) return { outcome: 'noLongerExists', proof: `node ${target.name} no longer exists` }
    const left = taints.filter(({ ours }) => sameTaint(like(node, ours), ours))
    if (left.length > 0)
      return {
        left: `node ${target.name} still has ${left.map(({ ours }) => taintText(ours)).join(', ')}`,
        remaining: left.map((one) => byHand(target, one)),
      }
    const other = taints.filter(({ ours, before }) => !sameTaint(like(node, ours), before))
    if (other.length === 0)
      return { outcome: 'restored', proof: `the taints of node ${target.name} are as before` }
    return {
      outcome: 'changedElsewhere',
      proof: `node ${target.name}: somebody else changed ${other.map(({ ours }) => `${ours.key}:${ours.effect}`).join(', ')} meanwhile, and that was left alone`,
    }
  },
})

const hasOurs = (node: Node | undefined, { taints }: Undo): boolean =>
  node !== undefined && taints.every(({ ours }) => sameTaint(like(node, ours), ours))

/** The whole list: a merge patch knows no other way, and the resourceVersion makes it safe. */
const patchOf = (node: Node, changes: { like: Taint; now: Taint | null }[]): object => ({
  spec: {
    taints: changes.reduce((list, c) => withTaint(list, c.like, c.now), taintsOf(node)),
  },
})

const byHand = ({ name }: KubeTarget, { ours, before }: Undo['taints'][0]): string =>
  before === null
    ? `kubectl taint nodes ${name} ${ours.key}:${ours.effect}-`
    : `kubectl taint nodes ${name} ${taintText(before)} --overwrite`
