import { customResourceDefinitions, resourcePath } from '../../lib/kube/paths.ts'
import type { Access } from './access.ts'
import type { Hands } from './apply.ts'
import type { Made } from './cleanup.ts'
import { demoNamespace, experimentNamespace } from './demo.ts'
import { experimentName, removeExperiment } from './experiment.ts'
import { removeNamespace, uninstall, uninstallByHand } from './install.ts'

/** What a removal works with; the signal comes when it is run. */
export type Remover = { access: Access; clock: Hands['clock'] }

const handsOf = ({ access, clock }: Remover, signal: AbortSignal): Hands => ({
  client: access.client,
  clock,
  signal,
})

/** The product, on a cluster that stays. */
export const madeProduct = (by: Remover): Made => ({
  what: 'the chart with its kinds and namespace',
  byHand: uninstallByHand,
  remove: (signal) => uninstall(by.access, handsOf(by, signal)),
})

/** The demo, on a cluster that stays. */
export const madeDemo = (by: Remover): Made => ({
  what: `the namespaces ${demoNamespace} and ${experimentNamespace}`,
  byHand: `${by.access.kubectlText} delete namespace ${demoNamespace} ${experimentNamespace}`,
  async remove(signal) {
    const hands = handsOf(by, signal)
    // Side by side: a namespace takes some seconds to go.
    await Promise.all([demoNamespace, experimentNamespace].map((n) => removeNamespace(n, hands)))
  },
})

/** The experiment; `deadlineMs` is short where the whole cluster goes next. */
export const madeExperiment = (by: Remover, deadlineMs: number): Made => ({
  what: `the experiment ${experimentName}`,
  byHand: `${by.access.kubectlText} -n ${experimentNamespace} delete kuberneteschaosexperiment ${experimentName}`,
  remove: (signal) => removeExperiment(handsOf(by, signal), deadlineMs),
})

/** All three, left by a start that was killed. */
export async function removeLeftovers(access: Access, hands: Hands): Promise<void> {
  const by = { access, clock: hands.clock }
  const name = 'kuberneteschaosexperiments.litmuschaos.io'
  const path = resourcePath({ ...customResourceDefinitions, name })
  const parts = [madeDemo(by), madeProduct(by)]
  if (await hands.client.find(path, { signal: hands.signal }))
    parts.unshift(madeExperiment(by, 120_000))
  for (const part of parts) await part.remove(hands.signal)
}
