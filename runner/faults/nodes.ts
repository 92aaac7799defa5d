import type { KubeClient } from '../../lib/kube/client.ts'
import { isConflict, isNotFound } from '../../lib/kube/errors.ts'
import { nodes, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { KubeTarget } from './kube-fault.ts'

/** As much of a node as the faults read. */
export type Node = KubeObject & {
  spec?: {
    unschedulable?: boolean
    taints?: { key: string; value?: string; effect: string; timeAdded?: string }[]
  }
}

type Io = { kube: KubeClient; signal: AbortSignal; as?: string }

const who = ({ as }: Io) => (as === undefined ? {} : { as })
const pathOf = ({ name }: KubeTarget): string => resourcePath({ ...nodes, name })

/** The node itself, not a namesake that was registered since. */
export async function findNode(target: KubeTarget, io: Io): Promise<Node | undefined> {
  const node = await io.kube.find<Node>(pathOf(target), { signal: io.signal, ...who(io) })
  return node?.metadata.uid === target.uid ? node : undefined
}

/**
 * Reads, lets `change` make a merge patch (null: nothing to do), and writes it only onto what was read; again after
 * somebody else's write. A node that is gone needs no change.
 */
export async function changeNode(
  target: KubeTarget,
  io: Io,
  change: (node: Node) => object | null,
): Promise<void> {
  for (;;) {
    const node = await findNode(target, io)
    const patch = node && change(node)
    if (!patch) return
    const { resourceVersion } = node.metadata
    try {
      // A request that is under way when the signal comes is waited for: its outcome must be known.
      const signal = AbortSignal.timeout(writeMs)
      await io.kube.mergePatch(
        pathOf(target),
        { ...patch, metadata: { resourceVersion } },
        { signal, ...who(io) },
      )
      return
    } catch (error) {
      if (isNotFound(error)) return
      if (!isConflict(error)) throw error
      io.signal.throwIfAborted()
    }
  }
}

const writeMs = 10_000
