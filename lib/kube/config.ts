import { existsSync } from 'node:fs'
import { KubeConfig } from '@kubernetes/client-node'

/** Which cluster, as whom. */
export type ClusterChoice = {
  /** a kubeconfig file; it wins over the account of the pod */
  file?: string
  /** a context of that file; default: its current one */
  context?: string
  /** the program's environment: says whether it runs in a pod, and where the default file is */
  env: Record<string, string | undefined>
}

/** The KubeConfig of a file, else of the pod's service account, else of the user's default file. */
export function loadKubeConfig({ file, context, env }: ClusterChoice): KubeConfig {
  const config = new KubeConfig()
  const inCluster = !file && !context && env['KUBERNETES_SERVICE_HOST'] !== undefined
  if (inCluster) {
    config.loadFromCluster()
    return config
  }
  const path = file ?? env['KUBECONFIG']?.split(':').find(existsSync) ?? homeFile(env['HOME'])
  if (!path || !existsSync(path))
    throw new Error(
      `no cluster to talk to: ${path ?? 'no kubeconfig file'} does not exist; name one with --kubeconfig or KUBECONFIG`,
    )
  config.loadFromFile(path)
  if (context) useContext(config, context, path)
  if (!config.getCurrentCluster())
    throw new Error(`${path} has no usable current context; name one with --context`)
  return config
}

const homeFile = (home: string | undefined): string | undefined =>
  home ? `${home}/.kube/config` : undefined

function useContext(config: KubeConfig, context: string, path: string): void {
  const known = config.getContexts().map((c) => c.name)
  if (!known.includes(context))
    throw new Error(`no context "${context}" in ${path}; it has: ${known.join(', ')}`)
  config.setCurrentContext(context)
}

/** The namespace that the config names, for in-cluster configs the pod's own. */
export function namespaceOf(config: KubeConfig): string | undefined {
  return config.getContextObject(config.getCurrentContext())?.namespace?.trim() || undefined
}
