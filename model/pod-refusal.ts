/** A pod that the API server did not take: which program had asked for it, and what it said. */
export type PodRefusal = {
  said: string
  /** HTTP 403 */
  forbidden: boolean
  namespace: string
  by: 'runner' | 'operator'
}

/** What is to be done when the API server does not take a fault pod. */
export function podRefusalAdvice({ said, forbidden, namespace, by }: PodRefusal): string {
  if (said.includes('violates PodSecurity'))
    return `Fault pods need Pod Security level privileged in the namespace of the product: kubectl label namespace ${namespace} --overwrite pod-security.kubernetes.io/enforce=privileged`
  // What the operator makes asks for what is usual.
  const isSet = by === 'runner'
  if (said.includes('exceeded quota') || said.includes('failed quota'))
    return `Raise the ResourceQuota of namespace ${namespace}${isSet ? ", or let the experiment's components ask for less" : ''}.`
  if (said.includes('LimitRange') || /(maximum|minimum) (cpu|memory)/.test(said))
    return `See the LimitRange of namespace ${namespace}${isSet ? "; the experiment's components may set the resources of fault pods" : ''}.`
  if (forbidden)
    return `See the rights of the ${by}, and what else admits pods, in namespace ${namespace}.`
  return `See what admits pods in namespace ${namespace}.`
}
