import { sample } from './chance.ts'
import { ChaosError } from './errors.ts'
import type { Selection } from './plan.ts'
import { countOf, findTargets, type Look } from './selection.ts'

export type FoundNode = { name: string; uid: string }

type Labels = Record<string, string>
type Node = {
  metadata: { name: string; uid?: string; deletionTimestamp?: string; labels?: Labels }
}

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

/** Without those that are protected; a node that was named is refused rather than passed over. */
function unprotected(found: Node[], isNamed: boolean, { whyNode }: Look): Node[] {
  const seen = found.map((node) => {
    const { name, labels } = node.metadata
    return { node, why: whyNode?.({ name, labels }, isNamed) ?? null }
  })
  const open = seen.flatMap(({ node, why }) => (why === null ? [node] : []))
  const whys = seen.flatMap(({ why }) => (why === null ? [] : [why]))
  if (whys.length > 0 && (isNamed || open.length === 0))
    throw refuse(`${whys.slice(0, 5).join('; ')}: choose other nodes`)
  return open
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
  const open = unprotected(there, byNames, look)
  const taken = byNames ? open : sample(open, countOf(share, open.length), chance)
  return taken.map(({ metadata: { name, uid = '' } }) => ({ name, uid }))
}
