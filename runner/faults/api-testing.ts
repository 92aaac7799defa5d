import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { namespaces, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeFaultIo, OwnIo } from './kube-fault.ts'

const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }

/** A rule as RBAC writes it. */
export type Rule = { apiGroups: string[]; resources: string[]; verbs: string[] }

/** What the test of an API-level fault works with on a real API server. */
export type FaultTest = {
  kube: KubeClient
  namespace: string
  signal: AbortSignal
  /** may do what `rules` say */
  account: KubeFaultIo
  /** may do nothing */
  stranger: KubeFaultIo
  own: OwnIo
}

/** A namespace `<id>-tests`, and an account in it with these rights everywhere. */
export async function faultTest(kubeconfig: string, id: string, rules: Rule[]): Promise<FaultTest> {
  const signal = AbortSignal.timeout(180_000)
  const config = loadKubeConfig({ file: kubeconfig, env: {} })
  const kube = createKubeClient({ config, userAgent: `${id}-test` })
  const namespace = `${id}-tests`
  const user = (name: string): string => `system:serviceaccount:${namespace}:${name}`
  const metadata = { name: namespace }
  await kube.create(resourcePath(namespaces), { metadata }, { signal })
  await allow({ kube, signal }, namespace, { user: user('chaos'), rules })
  const own = { kube, signal }
  return {
    ...own,
    namespace,
    account: { ...own, as: user('chaos') },
    stranger: { ...own, as: user('stranger') },
    own,
  }
}

/** Gives a user rights everywhere, by a ClusterRole of this name. */
export async function allow(
  { kube, signal }: OwnIo,
  name: string,
  { user, rules }: { user: string; rules: Rule[] },
): Promise<void> {
  const metadata = { name }
  const role = { metadata, rules }
  await kube.create(resourcePath({ ...rbac, plural: 'clusterroles' }), role, { signal })
  const binding = {
    metadata,
    roleRef: { apiGroup: rbac.group, kind: 'ClusterRole', name },
    subjects: [{ kind: 'User', name: user, apiGroup: rbac.group }],
  }
  await kube.create(resourcePath({ ...rbac, plural: 'clusterrolebindings' }), binding, { signal })
}

/** The undo record as another runner reads it. */
export const throughStatus = <T>(undo: T): never => JSON.parse(JSON.stringify(undo)) as never
