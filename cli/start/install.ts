import { join } from 'node:path'
import {
  customResourceDefinitions,
  namespaces,
  type ResourceKind,
  resourcePath,
} from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { Access } from './access.ts'
import { type Hands, removeAndWait } from './apply.ts'
import { demoNamespace, experimentNamespace, madeBy } from './demo.ts'

/** Namespace and release of the product. */
export const productNamespace = 'chaosplane-system'
const release = 'chaosplane'
const chart = join(import.meta.dirname, '../../config/chart')

/** Kinds that the chart brings; helm keeps them, so we remove them. */
const kindNames = [
  'kuberneteschaosexperiments.litmuschaos.io',
  'chaosexperiments.chaos.chaosplane.io',
] as const

/** Everything that belongs to us on a cluster that is not ours. */
export const ourNamespaces = [experimentNamespace, demoNamespace, productNamespace] as const

/** What there is of ours, or of others under our names. */
export type Before = { ours: string[]; taken: string[] }

/** Looks for our names on the cluster before anything is made. */
export async function lookBefore({ client, signal }: Hands): Promise<Before> {
  const before: Before = { ours: [], taken: [] }
  for (const name of ourNamespaces) {
    const found = await client.find<KubeObject>(resourcePath({ ...namespaces, name }), { signal })
    if (!found) continue
    const [[key, value] = ['', '']] = Object.entries(madeBy)
    const isOurs = found.metadata.labels?.[key] === value
    before[isOurs ? 'ours' : 'taken'].push(`namespace ${name}`)
  }
  for (const name of kindNames) {
    const path = resourcePath({ ...customResourceDefinitions, name })
    if (!(await client.find(path, { signal }))) continue
    const isOurs = before.ours.includes(`namespace ${productNamespace}`)
    before[isOurs ? 'ours' : 'taken'].push(`kind ${name}`)
  }
  return before
}

/** Why nothing may be made on this cluster; null when it may. */
export function refusalOf({ taken }: Before): string | null {
  if (taken.length === 0) return null
  return `this cluster has ${taken.join(', ')} already, and npm start only removes what it made itself: use another cluster, or remove them first`
}

/** Installs the chart, without waiting for its pods. */
export async function installChart(access: Access, image: string, signal: AbortSignal) {
  const values = ['--set-string', `image=${image}`, '--set', 'imagePullPolicy=IfNotPresent']
  const args = ['upgrade', '--install', release, chart, '--namespace', productNamespace, ...values]
  await access.helm(args, { signal, timeoutMs: 120_000 })
}

/** How a human does what uninstall does. */
export const uninstallByHand = `helm uninstall ${release} -n ${productNamespace} && kubectl delete crd ${kindNames.join(' ')} && kubectl delete namespace ${productNamespace}`

/** Uninstalls the chart; its own hook ends running experiments first. Then the kinds and the namespace. */
export async function uninstall(access: Access, hands: Hands): Promise<void> {
  const args = [
    'uninstall',
    release,
    '--namespace',
    productNamespace,
    '--ignore-not-found',
    '--wait',
  ]
  await access.helm([...args, '--timeout', '170s'], { signal: hands.signal, timeoutMs: 180_000 })
  for (const name of kindNames)
    await removeAndWait({ kind: customResourceDefinitions, name, deadlineMs: 60_000 }, hands)
  await removeNamespace(productNamespace, hands)
}

/** Deletes a namespace and waits until it is gone. */
export function removeNamespace(name: string, hands: Hands): Promise<void> {
  const kind: ResourceKind = namespaces
  return removeAndWait({ kind, name, deadlineMs: 120_000 }, hands)
}
