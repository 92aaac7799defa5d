import * as z from 'zod'
import { chaosExperimentNames, chaosExperimentSchema } from '../model/documents/chaos-experiment.ts'
import {
  kubernetesChaosExperimentNames,
  kubernetesChaosExperimentSchema,
} from '../model/documents/kubernetes-chaos-experiment.ts'
import {
  chaosExperimentStatus,
  kubernetesChaosExperimentStatus,
} from '../model/documents/status.ts'

type Json = Record<string, unknown>
type Names = {
  group: string
  version: string
  kind: string
  plural: string
  singular: string
  shortNames: readonly string[]
}
type Column = { name: string; type: string; jsonPath: string; description: string }

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const safeBounds: [string, number][] = [
  ['minimum', Number.MIN_SAFE_INTEGER],
  ['maximum', Number.MAX_SAFE_INTEGER],
]

/** What the schema library writes, in the part of OpenAPI that a CRD may use. */
export function structural(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(structural)
  if (!isObject(node)) return node
  const { additionalProperties, propertyNames: _names, anyOf, ...rest } = node
  const out: Json = {}
  for (const [key, value] of Object.entries(rest))
    out[key] = key === 'properties' ? mapValues(value as Json, structural) : structural(value)
  if (isObject(additionalProperties) && Object.keys(additionalProperties).length > 0)
    out['additionalProperties'] = structural(additionalProperties)
  else if (additionalProperties !== undefined) out['x-kubernetes-preserve-unknown-fields'] = true
  if (out['x-kubernetes-int-or-string'] === true) intOrString(out, anyOf)
  else if (anyOf !== undefined)
    throw new Error(`a CRD cannot hold a union: ${JSON.stringify(node['description'])}`)
  for (const [key, bound] of safeBounds) if (out[key] === bound) delete out[key]
  if (out['format'] === 'date-time') delete out['pattern']
  return Object.keys(out).length === 0 ? { 'x-kubernetes-preserve-unknown-fields': true } : out
}

function intOrString(out: Json, anyOf: unknown): void {
  delete out['type']
  const texts = Array.isArray(anyOf)
    ? anyOf.filter((o) => isObject(o) && o['type'] === 'string')
    : []
  const max = (texts[0] as Json | undefined)?.['maxLength']
  if (max !== undefined) out['maxLength'] = max
}

const mapValues = (object: Json, change: (value: unknown) => unknown): Json =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]))

const schemaOf = (schema: z.ZodType): Json =>
  structural(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' })) as Json

const common: Column[] = [
  {
    name: 'Phase',
    type: 'string',
    jsonPath: '.status.phase',
    description: 'Where the run stands.',
  },
  {
    name: 'Verdict',
    type: 'string',
    jsonPath: '.status.verdict',
    description: 'Verdict of the run.',
  },
  {
    name: 'Score',
    type: 'number',
    jsonPath: '.status.resiliencyScore',
    description: 'Resilience score, 0 to 100.',
  },
  {
    name: 'Progress',
    type: 'string',
    jsonPath: '.status.progress',
    description: 'Tasks that are done, of all.',
  },
  {
    name: 'Age',
    type: 'date',
    jsonPath: '.metadata.creationTimestamp',
    description: 'Since the resource was created.',
  },
]

const targetAndAction: Column[] = [
  {
    name: 'Target',
    type: 'string',
    jsonPath: '.spec.target.kind',
    description: 'What is hit.',
  },
  {
    name: 'Action',
    type: 'string',
    jsonPath: '.spec.action.type',
    description: 'What is done.',
  },
]

type Definition = {
  names: Names
  document: z.ZodType
  status: z.ZodType
  columns: Column[]
  description: string
  required: string[]
}

function crdOf({ names, document, status, columns, description, required }: Definition): Json {
  const { group, version, kind, plural, singular, shortNames } = names
  const body = schemaOf(document)
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular,
        shortNames: [...shortNames],
        categories: ['chaos'],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              description,
              type: 'object',
              ...(required.length > 0 ? { required } : {}),
              properties: {
                apiVersion: {
                  type: 'string',
                  description: 'Version of this form of the document.',
                },
                kind: { type: 'string', description: 'Kind of the document.' },
                metadata: { type: 'object' },
                ...(body['properties'] as Json),
                status: schemaOf(status),
              },
            },
          },
        },
      ],
    },
  }
}

/** Every CRD of the product by file name. */
export const crds: Readonly<Record<string, Json>> = {
  'kuberneteschaosexperiments.yaml': crdOf({
    names: kubernetesChaosExperimentNames,
    document: kubernetesChaosExperimentSchema,
    status: kubernetesChaosExperimentStatus,
    columns: common,
    description: 'An experiment of steps and tasks: faults on targets, with probes. It runs once.',
    required: [],
  }),
  'chaosexperiments.yaml': crdOf({
    names: chaosExperimentNames,
    document: chaosExperimentSchema,
    status: chaosExperimentStatus,
    columns: [...common.slice(0, 1), ...targetAndAction, ...common.slice(1)],
    description: 'One action on one set of targets, with probes before and after. It runs once.',
    required: ['spec'],
  }),
}
