import type { KubeClient } from '../../lib/kube/client.ts'
import { isForbidden, type KubeError } from '../../lib/kube/errors.ts'
import { resourcePath, serviceAccounts, subjectAccessReviews } from '../../lib/kube/paths.ts'
import { ChaosError } from '../../model/errors.ts'

export type Account = { namespace: string; name: string }
export const userOf = ({ namespace, name }: Account): string =>
  `system:serviceaccount:${namespace}:${name}`

/**
 * Impersonation works for an account that does not exist when a binding names it, so an explicit GET decides.
 */
export async function mustExist(
  kube: KubeClient,
  account: Account,
  signal: AbortSignal,
): Promise<void> {
  const path = resourcePath({ ...serviceAccounts, ...account })
  if (await kube.find(path, { signal })) return
  throw new ChaosError({
    code: 'MISSING_ACCOUNT',
    reason: `service account ${account.name} does not exist in namespace ${account.namespace}; create it there or name another one in spec.serviceAccountName`,
  })
}

type Review = { status?: { allowed?: boolean; reason?: string } }

type Asked = { group?: string; resource: string; verb: string; namespace: string }

/** Whether the account may do this; an empty namespace means everywhere. */
export async function mayDo(
  kube: KubeClient,
  account: Account,
  { group = '', resource: written, verb, namespace, signal }: Asked & { signal: AbortSignal },
): Promise<boolean> {
  const [resource, subresource] = written.split('/')
  const review = await kube.create<Review>(
    resourcePath(subjectAccessReviews),
    {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: {
        user: userOf(account),
        groups: [
          'system:serviceaccounts',
          `system:serviceaccounts:${account.namespace}`,
          'system:authenticated',
        ],
        resourceAttributes: {
          ...{ namespace, verb, group, resource },
          ...(subresource ? { subresource } : {}),
        },
      },
    },
    { signal, repeatable: true },
  )
  return review.status?.allowed === true
}

/** A fault on the node is as strong as exec into the target: the account must be allowed to do that. */
export async function mayExec(
  kube: KubeClient,
  account: Account,
  { namespace, signal }: { namespace: string; signal: AbortSignal },
): Promise<void> {
  const right = { verb: 'create', resource: 'pods/exec', namespace }
  const allowed = await mayDo(kube, account, { ...right, signal }).catch((error: unknown) => {
    // The runner itself may not ask.
    throw explain(error, account, right)
  })
  if (!allowed) throw missingRight(account, right)
}

type Right = { verb: string; resource: string; namespace: string }

const usualRole = 'ClusterRole chaosplane-experiment has what the faults need'

export const missingRight = (
  account: Account,
  { verb, resource, namespace }: Right,
  hint = usualRole,
): ChaosError =>
  new ChaosError({
    code: 'MISSING_RIGHT',
    reason: `service account ${account.namespace}/${account.name} may not ${verb} ${resource}${namespace ? ` in namespace ${namespace}` : ''}; bind a role that allows it (${hint})`,
  })

/** What the product may not do itself: the chart gives it that. */
const ownRight = (user: string, { verb, resource, namespace }: Right): ChaosError =>
  new ChaosError({
    code: 'MISSING_RIGHT',
    reason: `the product itself (${user}) may not ${verb} ${resource}${namespace ? ` in namespace ${namespace}` : ''}; its role in the chart has this right: install the chart again (helm upgrade), and see who took it away`,
  })

/** The API server names user and right itself; not every proxy in front of it lets that through. */
function refusedRight({ message }: KubeError): (Right & { user: string }) | null {
  const [, user = '', verb, resource] =
    /User "([^"]+)" cannot (\S+) resource "([^"]+)"/.exec(message) ?? []
  const [, namespace = ''] = /in the namespace "([^"]+)"/.exec(message) ?? []
  return verb && resource ? { user, verb, resource, namespace } : null
}

/**
 * A refusal of the API server becomes the right that is missing, and whose, as it says itself, else `right` of the
 * account; everything else stays what it is.
 */
export function explain(error: unknown, account: Account, right: Right): unknown {
  if (!isForbidden(error)) return error
  const cause = error as KubeError
  const refused = refusedRight(cause)
  const explained =
    refused && refused.user !== userOf(account)
      ? ownRight(refused.user, refused)
      : missingRight(account, refused ?? right)
  explained.cause = cause
  return explained
}
