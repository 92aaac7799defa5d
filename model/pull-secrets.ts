/** Pull secrets by their names. */
export type PullSecrets = { name: string }[]

const subdomain = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/

/** The chart's pull secrets, as it tells operator and runner: names with commas between them. */
export function pullSecretNames(text = ''): string[] {
  const names = text.split(',').flatMap((name) => name.trim() || [])
  const wrong = names.find((name) => !subdomain.test(name))
  if (wrong === undefined) return names
  throw new Error(
    `IMAGE_PULL_SECRETS must be names of Secrets with commas between them, got "${wrong}"`,
  )
}

/** The product's, then those of the experiment; a part of a pod's spec. */
export function pullSecretsOf(
  product: readonly string[],
  experiment: PullSecrets = [],
): { imagePullSecrets?: PullSecrets } {
  const names = [...new Set([...product, ...experiment.map(({ name }) => name)])]
  return names.length > 0 ? { imagePullSecrets: names.map((name) => ({ name })) } : {}
}
