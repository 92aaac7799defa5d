import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { compile } from '../../model/compile/compile.ts'
import type { Plan } from '../../model/plan.ts'
import { faultCatalogue } from './catalogue.generated.ts'

const here = new URL('./', import.meta.url)
const folders = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

const read = (id: string, name: string): string =>
  readFileSync(new URL(`${id}/${name}`, here), 'utf8')

it('every folder is in the catalogue', () => {
  expect(Object.keys(faultCatalogue).sort()).toEqual(folders.sort())
})

it('no name belongs to two faults of one dialect', () => {
  for (const dialect of ['litmus', 'chaosplane'] as const) {
    const names = Object.values(faultCatalogue).flatMap((f) => f.names[dialect])
    expect(new Set(names).size).toBe(names.length)
  }
})

describe.each(Object.values(faultCatalogue).map((f) => [f.id, f] as const))('%s', (id, fault) => {
  it('describes every parameter', () => {
    const schema = z.toJSONSchema(fault.params) as { properties?: Record<string, object> }
    const bare = Object.entries(schema.properties ?? {}).filter(([, p]) => !('description' in p))
    expect(bare.map(([name]) => name)).toEqual([])
    expect(Object.keys(schema.properties ?? {})).not.toEqual([])
  })

  it('has a README and defaults that its own schema accepts, and that survive JSON', () => {
    expect(read(id, 'README.md').startsWith(`# ${id}`)).toBe(true)
    for (const params of [fault.fromLitmus({}, id), fault.fromChaosplane({}, id)])
      expect(fault.params.parse(JSON.parse(JSON.stringify(params)))).toEqual(params)
  })

  it('tells of every tunable that changes its parameters, and only of those', () => {
    for (const { name, dialect } of fault.tunables) {
      const nonsense = { [name]: '-x-' }
      const reader = dialect === 'litmus' ? fault.fromLitmus : fault.fromChaosplane
      expect(() => reader(nonsense, id), name).toThrow()
    }
  })

  it('has an example in both dialects that compiles', () => {
    const documents = parseAllDocuments(read(id, 'example.yaml')).map((d) => d.toJS())
    expect(documents.map((d) => d.kind).sort()).toEqual([
      'ChaosExperiment',
      'KubernetesChaosExperiment',
    ])
    for (const document of documents) {
      const compiled = compile(document.kind as Plan['dialect'], document, faultCatalogue)
      expect(compiled).toMatchObject({ ok: true, plan: { tasks: [{ fault: id }], notes: [] } })
    }
  })
})

describe('pod-delete', () => {
  const { intervalMs, fromLitmus } = faultCatalogue['pod-delete'] ?? {}

  it('draws the pause from its range, and pod-kill has none', () => {
    const random = fromLitmus?.({ CHAOS_INTERVAL: '5-10', RANDOMNESS: 'true' }, 'pod-delete') ?? {}
    expect([0, 0.5, 1].map((c) => intervalMs?.(random, () => c))).toEqual([5000, 7500, 10_000])
    expect(intervalMs?.({ gracePeriodSeconds: 0, interval: null }, () => 0.5)).toBe(null)
  })
})
