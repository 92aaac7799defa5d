import { KubeConfig } from '@kubernetes/client-node'
import { type ExecOptions, exec, type Output } from '../../../lib/kube/attach.ts'

/** Runs a command in a container. */
export type Exec = (options: ExecOptions) => Promise<Output>

/** Exec as another user: exec goes over a connection of its own, which only a KubeConfig can tell who asks. */
export function execAs(config: KubeConfig, as: string | undefined): Exec {
  return (options) => exec(as ? impersonating(config, as) : config, options)
}

function impersonating(config: KubeConfig, as: string): KubeConfig {
  const current = config.getCurrentUser()
  const cluster = config.getCurrentCluster()
  const context = config.getContextObject(config.getCurrentContext())
  if (!current || !cluster || !context)
    throw new Error('the kubeconfig has no current context; name one')
  const copy = new KubeConfig()
  copy.loadFromOptions({
    clusters: [cluster],
    users: [{ ...current, impersonateUser: as }],
    contexts: [context],
    currentContext: context.name,
  })
  return copy
}
