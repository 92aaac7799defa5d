import { sample } from './chance.ts'
import { ChaosError } from './errors.ts'
import type { Selection } from './plan.ts'
import { countOf, findTargets, type Look } from './selection.ts'

export type FoundNode = { name: string; uid: string }

type Node = { metadata: { name: string; uid?: string; deletionTimestamp?: string } }

const refuse = (reason: string): ChaosError =>
  new ChaosError({ code: 'TARGET_SELECTION_ERROR', reason })

const byName = (a: Node, b: Node): number => (a.metadata.name < b.metadata.name ? -1 : 1)

async function named(names: readonly string[], look: Look): Promise<Node[]> {
  const seen = await Promise.all(names.map((name) => look.get<Node>('node', '', name)))
  const missing = names.filter((_, i) => seen[i] === undefined)
  if (missing.length > 0)
    throw refuse(`there is no node ${missing.join(', ')}: correct TARGET_NODE or TARGET_NODES`)
  return seen.filter((node) => node !== undefined)
}

async function underPods(selection: Selection, look: Look, chance: () => number): Promise<Node[]> {
  const pods = await findTargets({ ...selection, share: 'all', container: '' }, look, chance)
  const names = [...new Set(pods.map((p) => p.node).filter((name) => name !== ''))]
  if (names.length === 0)
    throw refuse(
      'none of the selected pods runs on a node yet: wait, or name a node in TARGET_NODE',
    )
  return named(names, look)
}

/**
 * Nodes by name (all of them), else by label, else those under the selected pods, of which the share is taken.
 * Throws ChaosError with TARGET_SELECTION_ERROR.
 */
export async function findNodes(
  selection: Selection,
  look: Look,
  chance: () => number,
): Promise<FoundNode[]> {
  const { nodes: names, nodeLabel, share } = selection
  const byNames = names.length > 0
  const nodes = byNames
    ? await named([...new Set(names)], look)
    : nodeLabel !== ''
      ? await look.list<Node>('node', '', nodeLabel)
      : await underPods(selection, look, chance)
  const there = nodes.filter((n) => n.metadata.deletionTimestamp === undefined).sort(byName)
  if (there.length === 0)
    throw refuse(`no node has the labels ${nodeLabel}: correct NODE_LABEL, or name nodes`)
  const taken = byNames ? there : sample(there, countOf(share, there.length), chance)
  return taken.map(({ metadata: { name, uid = '' } }) => ({ name, uid }))
}
