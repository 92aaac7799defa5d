import { KubeConfig } from '@kubernetes/client-node'
import type { KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { resourcePath, serviceAccounts } from '../../lib/kube/paths.ts'
import { kubectl, renderChart } from './chart.ts'

const rightsKinds = new Set([
  'ServiceAccount',
  'Role',
  'RoleBinding',
  'ClusterRole',
  'ClusterRoleBinding',
])

/** Installs the chart's accounts and rights, nothing else. The namespace must exist. */
export async function installRights(kubeconfig: string, namespace: string): Promise<void> {
  const items = (await renderChart(namespace)).filter(({ kind }) => rightsKinds.has(kind))
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  await kubectl(kubeconfig, ['apply', '--server-side', '--force-conflicts', '-f', '-'], list)
}

type Account = { kubeconfig: string; admin: KubeClient; namespace: string; name: string }

/** The cluster as one service account sees it, with a token of its own. */
export async function configOf({
  kubeconfig,
  admin,
  namespace,
  name,
}: Account): Promise<KubeConfig> {
  const path = resourcePath({ ...serviceAccounts, namespace, name, subresource: 'token' })
  const call = { signal: AbortSignal.timeout(30_000), repeatable: true }
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }
  const { status } = await admin.create<{ status: { token: string } }>(path, body, call)
  const cluster = loadKubeConfig({ file: kubeconfig, env: {} }).getCurrentCluster()
  if (!cluster) throw new Error(`${kubeconfig} has no current cluster`)
  const config = new KubeConfig()
  config.loadFromOptions({
    clusters: [cluster],
    users: [{ name, token: status.token }],
    contexts: [{ name, user: name, cluster: cluster.name }],
    currentContext: name,
  })
  return config
}
