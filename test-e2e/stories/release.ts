import { run } from '../cluster/shell.ts'
import type { World } from './world.ts'

const chart = new URL('../../config/chart', import.meta.url).pathname

/** Changes values of the release and waits until its programs run with them. */
export async function setValues({ installed }: World, ...sets: string[]): Promise<void> {
  const { helm, kubeconfig, namespace } = installed
  const where = [`--kubeconfig=${kubeconfig}`, '--namespace', namespace, '--reuse-values']
  const how = [...sets.flatMap((s) => ['--set', s]), '--wait', '--timeout', '100s']
  await run(helm, ['upgrade', 'chaosplane', chart, ...where, ...how], { timeoutMs: 120_000 })
}
