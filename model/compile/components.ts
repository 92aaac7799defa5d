import type { PodSettings } from '../plan.ts'
import type { At } from './probe-inputs.ts'
import { isObject, type Json, saysNothing, unknownKeys } from './problems.ts'

/** Whoever may create an experiment would become root on a node, or read Secrets that he may not read. */
const refusedComponents = [
  'securityContext',
  'hostFileVolumes',
  'hostPID',
  'hostIPC',
  'hostNetwork',
  'secrets',
  'configMaps',
  'projectedVolumes',
  'volumes',
  'volumeMounts',
  'helper',
  'auth',
  'env',
] as const

const notedComponents = ['nodeSelector', 'terminationGracePeriodSeconds', 'runner'] as const
const usedComponents = [
  'resources',
  'tolerations',
  'imagePullSecrets',
  'sidecar',
  'statusCheckTimeouts',
]

function sidecars(value: unknown, at: At): void {
  for (const [i, entry] of (Array.isArray(value) ? value : []).entries()) {
    if (saysNothing(entry)) continue
    const image = isObject(entry) ? String(entry['image'] ?? '') : ''
    if (/(^|\/)[\w.-]*log-watcher([:@]|$)/.test(image))
      at.problems.note(
        `${at.path}[${i}]: the log watcher is not used; logs are delivered without it.`,
      )
    else
      at.problems.refuse(
        `${at.path}[${i}]`,
        'sidecars of fault pods are refused: they would share the rights of the fault on the node',
        'leave the sidecar out',
      )
  }
}

function stringMap(value: unknown, at: At): Record<string, string> | null {
  if (saysNothing(value)) return null
  if (!isObject(value)) {
    at.problems.refuse(at.path, 'an object is needed', 'write key: value')
    return null
  }
  const own = Object.keys(value).find((key) => /(^|\.)chaosplane\.io\//.test(key))
  if (own !== undefined)
    at.problems.refuse(
      `${at.path}.${own}`,
      'keys of this product cannot be set',
      `leave ${own} out`,
    )
  return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)]))
}

function resourcesOf(value: unknown, at: At): Record<string, unknown> | null {
  if (saysNothing(value)) return null
  if (!isObject(value)) {
    at.problems.refuse(at.path, 'an object is needed', 'write requests and limits')
    return null
  }
  for (const key of Object.keys(value))
    if (key !== 'requests' && key !== 'limits' && !saysNothing(value[key]))
      at.problems.refuse(
        `${at.path}.${key}`,
        'only requests and limits can be set',
        `leave ${key} out`,
      )
  return value
}

function objects(value: unknown, at: At): Json[] | null {
  if (saysNothing(value)) return null
  if (Array.isArray(value) && value.every(isObject)) return value
  at.problems.refuse(at.path, 'a list of objects is needed', 'write a list')
  return null
}

/** What a document says about the pods that are started for a task. `at.path` is the path of `chaos`. */
export function podSettings(chaos: Json, at: At): PodSettings {
  const path = `${at.path}.components`
  const { problems } = at
  const components = isObject(chaos['components']) ? chaos['components'] : {}
  unknownKeys(components, {
    path,
    known: [...usedComponents, ...refusedComponents, ...notedComponents],
    problems,
  })
  for (const key of refusedComponents)
    if (!saysNothing(components[key]))
      problems.refuse(
        `${path}.${key}`,
        'it is refused: whoever may create an experiment would get the rights of a fault pod',
        `leave ${key} out`,
      )
  for (const key of notedComponents)
    if (!saysNothing(components[key])) problems.note(`${path}.${key} is not used.`)
  sidecars(components['sidecar'], { path: `${path}.sidecar`, problems })
  const settings: PodSettings = {}
  const resources = resourcesOf(components['resources'], { path: `${path}.resources`, problems })
  const tolerations = objects(components['tolerations'], { path: `${path}.tolerations`, problems })
  const secrets = objects(components['imagePullSecrets'], {
    path: `${path}.imagePullSecrets`,
    problems,
  })
  const labels = stringMap(withoutWeight(chaos['labels']), { path: `${at.path}.labels`, problems })
  const annotations = stringMap(chaos['annotations'], { path: `${at.path}.annotations`, problems })
  if (resources) settings.resources = resources
  if (tolerations) settings.tolerations = tolerations
  if (secrets) settings.imagePullSecrets = secrets.map((s) => ({ name: String(s['name'] ?? '') }))
  if (labels) settings.labels = labels
  if (annotations) settings.annotations = annotations
  return settings
}

/** The label `weight` speaks of the score, not of the pod. */
function withoutWeight(labels: unknown): unknown {
  if (!isObject(labels)) return labels
  const { weight: _weight, ...rest } = labels
  return rest
}
