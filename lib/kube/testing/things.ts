import type { KubeClient } from '../client.ts'
import { customResourceDefinitions, type ResourceKind, resourcePath } from '../paths.ts'
import type { KubeObject } from '../types.ts'

/** A kind that exists for tests only, with a status subresource. */
export const things: ResourceKind = {
  group: 'test.chaosplane.io',
  version: 'v1',
  plural: 'things',
}
/** `apiVersion` and `kind` of a thing. */
export const thingType = { apiVersion: 'test.chaosplane.io/v1', kind: 'Thing' }
/** A thing. */
export type Thing = KubeObject & {
  spec?: Record<string, unknown>
  status?: Record<string, unknown>
}

const free = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
/** The definition of the kind. */
export const thingDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'things.test.chaosplane.io' },
  spec: {
    group: things.group,
    scope: 'Namespaced',
    names: { plural: 'things', singular: 'thing', kind: 'Thing' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: free, status: free } } },
      },
    ],
  },
}

/** A namespace of its own, with the kind of things served in the cluster. */
export async function makeRoom(client: KubeClient, name: string): Promise<Room> {
  const signal = AbortSignal.timeout(30_000)
  const path = resourcePath({ ...customResourceDefinitions, name: thingDefinition.metadata.name })
  await client.apply(path, thingDefinition, { signal, fieldManager: 'tests', force: true })
  await client.create('/api/v1/namespaces', { metadata: { name } }, { signal }).catch((e) => {
    if (e.status !== 409) throw e
  })
  const all = resourcePath({ ...things, namespace: name })
  while ((await client.find(all, { signal })) === undefined)
    await new Promise((resolve) => setTimeout(resolve, 50))
  return {
    name,
    all,
    path: (thing) => `${all}/${thing}`,
    create: (thing, more = {}) =>
      client.create<Thing>(
        all,
        { ...thingType, metadata: { name: thing }, ...more },
        { signal: AbortSignal.timeout(20_000) },
      ),
  }
}

/** Where one test's things live. */
export type Room = {
  name: string
  all: string
  path(thing: string): string
  create(thing: string, more?: object): Promise<Thing>
}
