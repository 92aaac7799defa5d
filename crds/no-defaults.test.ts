import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parse } from 'yaml'

type Schema = { [key: string]: unknown; properties?: Record<string, Schema> }
const isSchema = (value: unknown): value is Schema => typeof value === 'object' && value !== null

/** Paths of the fields for which the API server would put in what nobody has written. */
function defaultsIn({ properties = {}, ...own }: Schema, path: string): string[] {
  const here = 'default' in own ? [path] : []
  const below = Object.entries(properties).flatMap(([name, of]) =>
    defaultsIn(of, `${path}.${name}`),
  )
  const beside = Object.entries(own).flatMap(([key, of]) =>
    isSchema(of) ? defaultsIn(of, `${path}/${key}`) : [],
  )
  return [...here, ...below, ...beside]
}

type Crd = { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } }

it.each(['chaosexperiments', 'kuberneteschaosexperiments'])(
  'an upgrade of the CRD changes no document of %s: a run whose document has changed is ended',
  (name) => {
    const crd = parse(readFileSync(new URL(`${name}.yaml`, import.meta.url), 'utf8')) as Crd
    const spec = crd.spec.versions[0]?.schema.openAPIV3Schema.properties?.['spec'] as Schema
    expect(Object.keys(spec.properties ?? {})).not.toEqual([])
    expect(defaultsIn(spec, 'spec')).toEqual([])
    expect(defaultsIn({ properties: { spec: { ...spec, default: {} } } }, '')).toEqual(['.spec'])
  },
)
