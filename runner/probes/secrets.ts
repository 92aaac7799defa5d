import type { ProbePlan } from '../../model/probe.ts'

const secretName = /auth|token|key|cookie|secret|passw|credential/i

/** What probes know and nobody else should read: credentials, and headers and variables that carry such. */
export const secretsOf = (probes: readonly ProbePlan[]): string[] =>
  probes.flatMap((probe) => {
    if (probe.type === 'cmdProbe')
      return probe.inputs.env.filter(({ name }) => secretName.test(name)).map(({ value }) => value)
    if (probe.type !== 'httpProbe') return []
    const headers = Object.entries(probe.inputs.headers).filter(([name]) => secretName.test(name))
    const { auth, tls, files, body } = probe.inputs
    return [
      auth?.credentials ?? '',
      ...headers.map(([, value]) => value),
      ...[tls.ca, tls.cert, tls.key],
      files.body ? body : '',
    ].filter((text) => text !== '')
  })
