import { stringify } from 'yaml'
import {
  configMaps,
  deployments,
  namespaces,
  type ResourceKind,
  serviceAccounts,
  services,
} from '../../lib/kube/paths.ts'

/** Who made an object; what does not carry this label is never removed. */
export const madeBy = { 'chaos.chaosplane.io/made-by': 'npm-start' } as const

/** The names that the published experiment uses. */
export const demoNamespace = 'demo'
export const experimentNamespace = 'v2'
export const experimentAccount = 'litmus'
export const demoDeployments = ['podtato-hats', 'podtato-left-leg'] as const
export const loadDeployment = 'podtato-load'
export const probeName = 'google-ping'
const probeRegistry = 'chaosplane-probes'

const roleBindings: ResourceKind = {
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural: 'rolebindings',
}
const port = 8080
/** requests per second over both deployments */
const loadRate = 20

/** An object to be applied, with the kind as its URL names it. */
export type Document = { kind: ResourceKind; body: DocumentBody }
type DocumentBody = {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string> }
  [field: string]: unknown
}

/** A namespace that we may remove again. */
export const namespaceDocument = (name: string, labels: Record<string, string> = {}): Document => ({
  kind: namespaces,
  body: {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { ...madeBy, ...labels } },
  },
})

/** Image and pull policy of the demo's pods. */
export type DemoImage = { image: string; pullPolicy: string }

/** The demo application, its load, and what the experiment needs, in the order of applying. */
export function demoDocuments(image: DemoImage): Document[] {
  return [
    namespaceDocument(demoNamespace),
    namespaceDocument(experimentNamespace),
    accountDocument(),
    rightsDocument(),
    registryDocument(),
    ...demoDeployments.flatMap((name) => [appDocument(name, image), serviceDocument(name)]),
    loadDocument(image),
  ]
}

const accountDocument = (): Document => ({
  kind: serviceAccounts,
  body: {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: experimentAccount, namespace: experimentNamespace },
  },
})

/** The rights that every fault needs, made by the chart, given in the demo's namespace only. */
const rightsDocument = (): Document => ({
  kind: roleBindings,
  body: {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'chaosplane-experiment', namespace: demoNamespace },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'chaosplane-experiment',
    },
    subjects: [{ kind: 'ServiceAccount', name: experimentAccount, namespace: experimentNamespace }],
  },
})

/** The probe that the experiment refers to, asking the demo's own Service. */
export const probeDefinition = {
  name: probeName,
  type: 'httpProbe',
  'httpProbe/inputs': {
    url: `http://${demoDeployments[0]}.${demoNamespace}.svc/`,
    method: { get: { criteria: '==', responseCode: '200' } },
  },
  runProperties: { probeTimeout: '5s', interval: '1s', attempt: 3 },
}

const registryDocument = (): Document => ({
  kind: configMaps,
  body: {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: probeRegistry,
      namespace: experimentNamespace,
      labels: { 'chaos.chaosplane.io/probes': 'true' },
    },
    data: { [probeName]: stringify(probeDefinition) },
  },
})

type Program = {
  name: string
  replicas: number
  args: string[]
  env: { name: string; [field: string]: unknown }[]
  container: Record<string, unknown>
}

function deploymentDocument(program: Program, { image, pullPolicy }: DemoImage): Document {
  const { name, replicas, args, env, container } = program
  const labels = { app: name }
  return {
    kind: deployments,
    body: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace: demoNamespace, labels },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            automountServiceAccountToken: false,
            terminationGracePeriodSeconds: 5,
            securityContext: {
              runAsNonRoot: true,
              runAsUser: 65532,
              seccompProfile: { type: 'RuntimeDefault' },
            },
            containers: [
              {
                name: 'app',
                image,
                imagePullPolicy: pullPolicy,
                args,
                env,
                resources: {
                  requests: { cpu: '10m', memory: '48Mi' },
                  limits: { memory: '256Mi' },
                },
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  capabilities: { drop: ['ALL'] },
                },
                ...container,
              },
            ],
          },
        },
      },
    },
  }
}

const appDocument = (name: string, image: DemoImage): Document =>
  deploymentDocument(
    {
      name,
      replicas: 2,
      args: ['/app/demo.cjs'],
      env: [
        { name: 'APP_NAME', value: name },
        { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        { name: 'PORT', value: String(port) },
      ],
      container: {
        ports: [{ name: 'http', containerPort: port }],
        readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1 },
      },
    },
    image,
  )

const serviceDocument = (name: string): Document => ({
  kind: services,
  body: {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: demoNamespace, labels: { app: name } },
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  },
})

const loadDocument = (image: DemoImage): Document =>
  deploymentDocument(
    {
      name: loadDeployment,
      replicas: 1,
      args: [
        '/app/demo.cjs',
        'load',
        ...demoDeployments.flatMap((name) => ['--url', `http://${name}.${demoNamespace}.svc/`]),
        '--rate',
        String(loadRate),
      ],
      env: [],
      container: {},
    },
    image,
  )
