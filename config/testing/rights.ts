import type { KubeClient } from '../../lib/kube/client.ts'
import { resourcePath } from '../../lib/kube/paths.ts'
import type { Permission } from '../../model/fault.ts'
import { unite } from '../rbac.ts'

export const rbacApi = { group: 'rbac.authorization.k8s.io', version: 'v1' }

/** A role that loses its rules one by one. */
export type Role = { path: string; rights: readonly Permission[] }

/** The path of a ClusterRole, or of a Role in a namespace. */
export const rolePath = (name: string, namespace?: string): string =>
  resourcePath(
    namespace
      ? { ...rbacApi, plural: 'roles', name, namespace }
      : { ...rbacApi, plural: 'clusterroles', name },
  )

/** Its rules, one for each resource. */
export const rulesOf = ({ rights }: Pick<Role, 'rights'>): Permission[] => unite(rights)

/** What a rule is called. */
export const keyOf = ({ group, resource }: Permission): string =>
  group ? `${resource}.${group}` : resource

/** Writes what a role says without one of its rules; nothing is left out without `but`. */
export async function setRules(by: KubeClient, { path, rights }: Role, but?: Permission) {
  const rules = unite(rights)
    .filter((r) => !but || keyOf(r) !== keyOf(but))
    .map(({ group, resource, verbs, names }) => ({
      apiGroups: [group],
      resources: [resource],
      verbs,
      ...(names ? { resourceNames: names } : {}),
    }))
  await by.mergePatch(path, { rules }, { signal: AbortSignal.timeout(30_000) })
}

/** Refusals as the API server words them, or as a run tells them: `<who> <verb> <resource>`. */
export const refusals = (text: string): Set<string> =>
  new Set(
    [
      ...text.matchAll(/User \\*"([^"\\]+)\\*" cannot (\S+) resource \\*"([^"\\]+)\\*"/g),
      ...text.matchAll(/service account (\S+) may not (\S+) ([a-z/.]+)/g),
      ...text.matchAll(/the product itself \((\S+)\) may not (\S+) ([a-z/.]+)/g),
    ].map(([, who, verb, resource]) => `${who} ${verb} ${resource}`),
  )

/** Looks every 50 ms until it is so; false after `ms`. */
export async function until(what: () => Promise<boolean> | boolean, ms: number): Promise<boolean> {
  const limit = performance.now() + ms
  for (;;) {
    if (await what()) return true
    if (performance.now() > limit) return false
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
