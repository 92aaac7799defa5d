import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { binary } from '../../test-e2e/cluster/binaries.ts'
import { runCommand } from './command.ts'

type Env = Record<string, string | undefined>

/** How one cluster is reached: by our client, and by the two programs that a user knows. */
export type Access = {
  client: KubeClient
  /** the beginning of a kubectl command that a user can paste */
  kubectlText: string
  kubectl(args: string[], how: Running): Promise<string>
  helm(args: string[], how: Running): Promise<string>
}
export type Running = { signal: AbortSignal; timeoutMs: number }

/** A context of the user's own kubeconfig, or a kubeconfig file of ours. */
export type Place = { context: string } | { file: string }

/** Access to a cluster; the kubeconfig's current context is never read. */
export function accessTo(place: Place, env: Env): Access {
  const config = loadKubeConfig({ ...place, env })
  const client = createKubeClient({ config, userAgent: 'chaosplane-start/0.1.0' })
  const tools = { kubectl: findTool('kubectl', env), helm: findTool('helm', env) }
  const args =
    'context' in place
      ? { kubectl: ['--context', place.context], helm: ['--kube-context', place.context] }
      : { kubectl: ['--kubeconfig', place.file], helm: ['--kubeconfig', place.file] }
  const call =
    (tool: 'kubectl' | 'helm') =>
    (rest: string[], { signal, timeoutMs }: Running) =>
      runCommand({ program: tools[tool], args: [...args[tool], ...rest], env, timeoutMs }, signal)
  return {
    client,
    kubectlText: [tools.kubectl, ...args.kubectl.map(quoted)].join(' '),
    kubectl: call('kubectl'),
    helm: call('helm'),
  }
}

/** kubectl: the user's own where there is one; helm: the one of the version that the chart is tested with first. */
export function findTool(name: 'kubectl' | 'helm', env: Env): string {
  const own = binary(name, env)
  const places = name === 'kubectl' ? [onPath, built] : [built, onPath]
  for (const place of places) {
    const found = place(name, own, env)
    if (found) return found
  }
  throw new Error(`${name} is needed and not found: install it (${home[name]}) and start again`)
}

const home = { kubectl: 'https://kubernetes.io/docs/tasks/tools', helm: 'https://helm.sh' }
const built = (_name: string, own: string): string | null => (existsSync(own) ? own : null)
const onPath = (name: string, _own: string, env: Env): string | null =>
  (env['PATH'] ?? '').split(delimiter).some((at) => at && existsSync(join(at, name))) ? name : null

const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
