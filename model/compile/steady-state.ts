import type { ChaosExperimentInput } from '../documents/chaos-experiment.ts'
import type { HttpInputs, K8sInputs, ProbePlan, RunProperties } from '../probe.ts'
import { suggest } from '../suggest.ts'
import { defaultRun } from './probe.ts'
import { isObject, type Problems, saysNothing, unknownKeys } from './problems.ts'
import { checkedSelector } from './targets.ts'

type Spec = ChaosExperimentInput['spec']
type Written = NonNullable<NonNullable<Spec['abortConditions']>[number]>
type Context = { path: string; namespace: string; problems: Problems }

const types = ['http', 'k8s'] as const

/** Where a resource that is named without its group is found; those without a namespace are marked. */
export const probedResources: Readonly<Record<string, { group: string; cluster?: true }>> = {
  pods: { group: '' },
  services: { group: '' },
  endpoints: { group: '' },
  nodes: { group: '', cluster: true },
  namespaces: { group: '', cluster: true },
  deployments: { group: 'apps' },
  statefulsets: { group: 'apps' },
  daemonsets: { group: 'apps' },
  replicasets: { group: 'apps' },
  jobs: { group: 'batch' },
}

function typeOf(probe: Written, { path, problems }: Context): (typeof types)[number] | null {
  const written =
    probe.type ?? types.find((type) => probe[type]) ?? (probe.prometheus ? 'prometheus' : '')
  if (written === 'prometheus')
    problems.refuse(
      `${path}.type`,
      'prometheus probes are not built',
      `use one of: ${types.join(', ')}`,
    )
  else if (written === '')
    problems.refuse(`${path}.type`, 'it is missing', `use one of: ${types.join(', ')}`)
  else {
    const found = types.find((type) => type === written)
    if (found !== undefined) return found
    problems.refuse(
      `${path}.type`,
      `there is no probe type ${JSON.stringify(written)}`,
      suggest(written, types),
    )
  }
  return null
}

const methods = ['GET', 'POST', 'HEAD', 'PUT'] as const

function httpOf(probe: Written, { path, problems }: Context): HttpInputs {
  const http = probe.http ?? {}
  const url = (http.url ?? '').trim()
  unknownKeys(http, {
    path: `${path}.http`,
    known: ['url', 'method', 'expectedStatus', 'expectedBody'],
    problems,
  })
  if (!/^https?:\/\/\S+$/.test(url))
    problems.refuse(
      `${path}.http.url`,
      `${JSON.stringify(url)} is not an http or https URL`,
      'write for example http://service.namespace.svc:8080/health',
    )
  const method = problems.oneOf(`${path}.http.method`, http.method || 'GET', methods) ?? 'GET'
  return {
    url,
    method,
    headers: {},
    contentType: '',
    body: '',
    insecureSkipVerify: false,
    tls: { ca: '', cert: '', key: '', serverName: '' },
    files: {},
    auth: null,
    responseCode: { criteria: '==', value: String(http.expectedStatus ?? 200) },
    responseBody: http.expectedBody ? { criteria: 'contains', value: http.expectedBody } : null,
  }
}

function minimumOf(condition: unknown, { path, problems }: Context): number | null {
  if (saysNothing(condition)) return null
  const at = `${path}.k8s.condition`
  if (!isObject(condition)) {
    problems.refuse(at, 'an object is needed', 'write minReady')
    return null
  }
  unknownKeys(condition, { path: at, known: ['minReady'], problems })
  if (condition['minReady'] === undefined) return null
  const minimum = Number(condition['minReady'])
  if (Number.isInteger(minimum) && minimum >= 0) return minimum
  problems.refuse(`${at}.minReady`, 'it is not a number of objects', 'write for example 1')
  return null
}

function k8sOf(probe: Written, context: Context): K8sInputs {
  const { path, namespace, problems } = context
  const k8s = probe.k8s ?? {}
  const known = ['resource', 'namespace', 'labelSelector', 'fieldSelector', 'condition']
  unknownKeys(k8s, { path: `${path}.k8s`, known, problems })
  const resource = (k8s.resource ?? '').trim().toLowerCase()
  const [found] = [resource, `${resource}s`].flatMap((name) =>
    Object.hasOwn(probedResources, name) ? [probedResources[name]] : [],
  )
  if (found === undefined)
    problems.refuse(
      `${path}.k8s.resource`,
      resource === '' ? 'it is missing' : `${JSON.stringify(resource)} is not known here`,
      suggest(resource, Object.keys(probedResources)),
    )
  const minReady = minimumOf(k8s.condition, context)
  return {
    group: found?.group ?? '',
    version: 'v1',
    resource: Object.hasOwn(probedResources, resource) ? resource : `${resource}s`,
    namespace: found?.cluster ? '' : k8s.namespace?.trim() || namespace,
    resourceNames: [],
    fieldSelector: k8s.fieldSelector ?? '',
    labelSelector: checkedSelector(k8s.labelSelector ?? '', `${path}.k8s.labelSelector`, problems),
    operation: 'present',
    minimum: minReady ?? 1,
    ready: minReady !== null,
  }
}

const probeKeys = ['name', 'type', 'http', 'k8s', 'prometheus']

function probeOf(
  probe: Written,
  common: { name: string; mode: ProbePlan['mode']; run: RunProperties },
  context: Context,
): ProbePlan[] {
  const known = common.mode === 'AbortWhen' ? [...probeKeys, 'action'] : probeKeys
  unknownKeys(probe, { path: context.path, known, problems: context.problems })
  switch (typeOf(probe, context)) {
    case 'http':
      return [{ ...common, type: 'httpProbe', inputs: httpOf(probe, context) }]
    case 'k8s':
      return [{ ...common, type: 'k8sProbe', inputs: k8sOf(probe, context) }]
    case null:
      return []
  }
}

const actions = ['abort', 'pause', 'rollback'] as const

/** All probes of a ChaosExperiment: before, after, and the conditions that end it. */
export function probesOf(spec: Spec, { namespace, problems }: Omit<Context, 'path'>): ProbePlan[] {
  const used = new Set<string>()
  const nameOf = (probe: Written, fallback: string, path: string): string => {
    const name = probe.name?.trim() || fallback
    if (used.has(name))
      problems.refuse(
        `${path}.name`,
        `another probe is called ${JSON.stringify(name)}`,
        'give every probe its own name',
      )
    used.add(name)
    return name
  }
  const state = spec.steadyState
  if (state)
    unknownKeys(state, {
      path: 'spec.steadyState',
      known: ['before', 'after', 'recoveryTimeout'],
      problems,
    })
  const run = { ...defaultRun, timeoutMs: 5000 }
  const of = (list: Written[], at: string, mode: ProbePlan['mode']): ProbePlan[] =>
    list.flatMap((probe, i) => {
      const path = `spec.${at}[${i}]`
      const name = nameOf(probe, `${at.split('.').at(-1)}-${i + 1}`, path)
      const common = { name, mode, run: { ...run, stopOnFailure: mode === 'SOT' } }
      const plans = probeOf(probe, common, { path, namespace, problems })
      if (mode !== 'AbortWhen') return plans
      const action = problems.oneOf(`${path}.action`, probe.action || 'abort', actions)
      return action === null ? [] : plans.map((plan) => ({ ...plan, action }))
    })
  // One probe may stand in both lists under one name: before and after are two evaluations of one thing.
  const before = of((state?.before ?? []) as Written[], 'steadyState.before', 'SOT')
  used.clear()
  const after = of((state?.after ?? []) as Written[], 'steadyState.after', 'EOT')
  used.clear()
  const ends = of(spec.abortConditions ?? [], 'abortConditions', 'AbortWhen')
  return distinct([...before, ...after, ...ends])
}

/** Records are kept by name: a name that is used twice is told apart by its mode. */
function distinct(probes: ProbePlan[]): ProbePlan[] {
  const names = probes.map((p) => p.name)
  return probes.map((p, i) =>
    names.indexOf(p.name) === i ? p : { ...p, name: `${p.name}-${p.mode}` },
  )
}
