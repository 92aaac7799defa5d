import type { KubeClient } from '../../lib/kube/client.ts'
import { isConflict, isNotFound } from '../../lib/kube/errors.ts'
import { nodes, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { type KubeTarget, writeMs } from './kube-fault.ts'

/** As much of a node as the faults read. */
export type Node = KubeObject & {
  spec?: {
    unschedulable?: boolean
    taints?: { key: string; value?: string; effect: string; timeAdded?: string }[]
  }
}

/**
 * `writer`: name under which the API server notes who wrote the fields; by server-side apply, because only that is
 * noted on every object
 */
type Io = { kube: KubeClient; signal: AbortSignal; as?: string; writer?: string }

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
      await write(target, { ...patch, metadata: { resourceVersion } }, { ...io, signal })
      return
    } catch (error) {
      if (isNotFound(error)) return
      if (!isConflict(error)) throw error
      io.signal.throwIfAborted()
    }
  }
}

function write(target: KubeTarget, body: { metadata: object }, io: Io): Promise<unknown> {
  const call = { signal: io.signal, ...who(io) }
  const path = pathOf(target)
  if (io.writer === undefined) return io.kube.mergePatch(path, body, call)
  const metadata = { name: target.name, ...body.metadata }
  const whole = { apiVersion: 'v1', kind: 'Node', ...body, metadata }
  return io.kube.apply(path, whole, { ...call, fieldManager: io.writer, force: true })
}

/** Throws the refusal when the account may not change the node: a dry run of a patch that changes nothing. */
export async function mayChangeNode(target: KubeTarget, io: Io): Promise<void> {
  const query = { dryRun: 'All' }
  const { uid } = target
  await io.kube.mergePatch(
    pathOf(target),
    { metadata: { uid } },
    { ...who(io), query, signal: io.signal },
  )
}

type Managed = { manager?: string; time?: string; fieldsV1?: Record<string, unknown> }

/** Who wrote a field of an object last, as the API server has noted it; undefined: nobody by name. */
export function lastWriter(object: KubeObject, ...path: string[]): Managed | undefined {
  const has = ({ fieldsV1 }: Managed): boolean => {
    let at: unknown = fieldsV1
    for (const part of path) at = (at as Record<string, unknown> | undefined)?.[`f:${part}`]
    return at !== undefined
  }
  return (object.metadata.managedFields as Managed[] | undefined)?.find(has)
}
