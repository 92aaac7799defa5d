import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import type { KubeObject } from '../../lib/kube/types.ts'
import { binary, kubernetesVersion } from '../../test-e2e/cluster/binaries.ts'

const run = promisify(execFile)
const limits = { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 }

/** Where the chart lies. */
export const chartFolder = fileURLToPath(new URL('../chart', import.meta.url))

/** An object out of the chart: the parts that are not read stay as they are. */
export type Rendered = KubeObject & { kind: string; [part: string]: unknown }

/** Runs the real helm. */
export async function helm(...args: string[]): Promise<string> {
  const { stdout } = await run(binary('helm'), args, limits)
  return stdout
}

/** What helm would install, hooks included. */
export async function renderChart(namespace: string, set: string[] = []): Promise<Rendered[]> {
  const values = set.flatMap((value) => ['--set', value])
  const version = ['--kube-version', kubernetesVersion]
  const text = await helm(
    'template',
    'chaosplane',
    chartFolder,
    '-n',
    namespace,
    ...version,
    ...values,
  )
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null)
}

/** Runs the real kubectl with a document on its standard input. */
export async function kubectl(kubeconfig: string, args: string[], input = ''): Promise<string> {
  const running = run(binary('kubectl'), [`--kubeconfig=${kubeconfig}`, ...args], limits)
  running.child.stdin?.end(input)
  const { stdout } = await running
  return stdout
}
