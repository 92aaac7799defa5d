import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import {
  demoDeployments,
  demoDocuments,
  demoNamespace,
  experimentAccount,
  experimentNamespace,
  probeDefinition,
} from './demo.ts'

type Task = {
  definition: { targets: { selectors: { workloads: { namespace: string; names: string }[] } } }
  probeRef: { probeID: string }[]
}
const seed = parse(
  readFileSync(new URL('../../examples/seed-experiment.yaml', import.meta.url), 'utf8'),
) as { metadata: { namespace: string }; spec: { tasks: Task[]; serviceAccountName: string } }
const documents = demoDocuments({ image: 'chaosplane:test', pullPolicy: 'Never' })
const named = (kind: string) => documents.filter((d) => d.body.kind === kind).map((d) => d.body)

describe('the demo has every name that the example experiment uses', () => {
  it('deployments', () => {
    const wanted = seed.spec.tasks.flatMap((t) => t.definition.targets.selectors.workloads)
    for (const { namespace, names } of wanted)
      expect(named('Deployment')).toContainEqual(
        expect.objectContaining({ metadata: expect.objectContaining({ namespace, name: names }) }),
      )
    expect(wanted.map((w) => w.names)).toEqual([...demoDeployments])
  })

  it('namespace and account', () => {
    expect(seed.metadata.namespace).toBe(experimentNamespace)
    expect(seed.spec.serviceAccountName).toBe(experimentAccount)
    expect(named('ServiceAccount')[0]?.metadata).toMatchObject({ namespace: experimentNamespace })
  })

  it('probe, in the registry of the experiment namespace', () => {
    const [registry] = named('ConfigMap')
    expect(registry?.metadata.namespace).toBe(experimentNamespace)
    const data = registry?.['data'] as Record<string, string>
    const wanted = seed.spec.tasks.flatMap((t) => t.probeRef.map((p) => p.probeID))
    expect(wanted).toEqual(['google-ping', 'google-ping'])
    for (const id of wanted) expect(parse(data[id] ?? '')).toEqual(probeDefinition)
  })
})

describe('the documents of the demo', () => {
  it('come in an order in which they can be applied', () => {
    const known = new Set(['default'])
    for (const { body } of documents) {
      if (body.kind === 'Namespace') known.add(body.metadata.name)
      else expect(known).toContain(body.metadata.namespace)
    }
  })

  it('give the account rights in the namespace of the demo and nowhere else', () => {
    expect(named('RoleBinding').map((b) => b.metadata.namespace)).toEqual([demoNamespace])
    expect(named('ClusterRoleBinding')).toEqual([])
  })

  it('can be told from namespaces of others', () => {
    for (const body of named('Namespace'))
      expect(body.metadata.labels).toMatchObject({ 'chaos.chaosplane.io/made-by': 'npm-start' })
  })
})
