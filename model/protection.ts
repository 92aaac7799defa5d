import type { Plan, Refusal } from './plan.ts'

/** On a namespace or a node: nothing here is ever hit. Any value but `false` counts. */
export const protectedLabel = 'chaos.chaosplane.io/protected'

export const isProtected = (labels: Record<string, string> | undefined): boolean => {
  const said = labels?.[protectedLabel]
  return said !== undefined && said.toLowerCase() !== 'false'
}

/** Where nothing may be hit. */
export type NamespaceRules = {
  /** the product's own */
  own: string
  /** when there are any, nothing is hit in another one */
  allowed: readonly string[]
  denied: readonly string[]
  /** whether it has the label */
  isLabelled(namespace: string): boolean
}

type Why = { reason: string; suggestion: string }

/** Why nothing may be hit in this namespace, and what would be right; null: it may. */
export function whyNamespaceIsProtected(namespace: string, rules: NamespaceRules): Why | null {
  const { own, allowed, denied } = rules
  const elsewhere = 'aim at another namespace'
  if (namespace === own)
    return {
      reason: `${namespace} is the namespace of chaosplane itself, which is always protected`,
      suggestion: elsewhere,
    }
  if (rules.isLabelled(namespace))
    return {
      reason: `namespace ${namespace} is protected by its label ${protectedLabel}`,
      suggestion: `${elsewhere}, or have its owner set the label to false`,
    }
  if (denied.includes(namespace))
    return {
      reason: `namespace ${namespace} is protected: protection.namespaces.deny of the chart is ${denied.join(', ')}`,
      suggestion: `${elsewhere}, or have the list changed`,
    }
  if (allowed.length > 0 && !allowed.includes(namespace))
    return {
      reason: `namespace ${namespace} is not among those that may be hit: protection.namespaces.allow of the chart is ${allowed.join(', ')}`,
      suggestion: 'aim at one of these, or have the list changed',
    }
  return null
}

/** The tasks of a plan that aim at what is protected, by the place where their namespaces are written. */
export function protectedTargets(plan: Plan, rules: NamespaceRules): Refusal[] {
  return plan.tasks.flatMap(({ name, selection }) => {
    const path =
      plan.dialect === 'ChaosExperiment'
        ? 'spec.target.namespace'
        : `spec.tasks[name=${name}].definition.targets`
    const namespaces = [...new Set(selection.workloads.map((w) => w.namespace))]
    return namespaces.flatMap((namespace) => {
      const why = whyNamespaceIsProtected(namespace, rules)
      return why ? [{ path, ...why }] : []
    })
  })
}

export type NodeLabels = { name: string; labels: Record<string, string> | undefined }

const controlPlane = [
  'node-role.kubernetes.io/control-plane',
  'node-role.kubernetes.io/master',
] as const

/**
 * Why a node is not hit; null: it may be. A node with the label never is. One that keeps the cluster or this product
 * going is hit only by name: that is a wish, while a label or the place of a pod may be an oversight.
 */
export function whyNodeIsProtected(
  { name, labels }: NodeLabels,
  { isNamed, hostsProduct }: { isNamed: boolean; hostsProduct: boolean },
): string | null {
  if (isProtected(labels)) return `node ${name} is protected by its label ${protectedLabel}`
  if (isNamed) return null
  if (controlPlane.some((label) => labels?.[label] !== undefined))
    return `node ${name} is of the control plane, which is hit only by name`
  return hostsProduct ? `node ${name} runs chaosplane itself, and is hit only by name` : null
}
