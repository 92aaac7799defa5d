import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import * as z from 'zod'
import { compile } from '../../model/compile/compile.ts'
import type { Plan } from '../../model/plan.ts'
import { faultCatalogue } from './catalogue.generated.ts'

const here = new URL('./', import.meta.url)
const folders = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

/** Tunables that any text suits, alone. */
const freeText = new Set<string>([])

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

  const readers = { litmus: fault.fromLitmus, chaosplane: fault.fromChaosplane }
  const needs = (dialect: keyof typeof readers) =>
    fault.tunables.some((t) => t.needed && t.dialect === dialect)

  it('has a README and defaults that its own schema accepts, and that survive JSON', () => {
    expect(read(id, 'README.md').startsWith(`# ${id}`)).toBe(true)
    for (const dialect of ['litmus', 'chaosplane'] as const) {
      if (fault.names[dialect].length === 0) continue
      if (needs(dialect)) {
        expect(() => readers[dialect]({}, id)).toThrow(/missing/)
        continue
      }
      const params = readers[dialect]({}, id)
      expect(fault.params.parse(JSON.parse(JSON.stringify(params)))).toEqual(params)
    }
  })

  it('tells of every tunable that changes its parameters, and only of those', () => {
    for (const { name, dialect } of fault.tunables) {
      const nonsense = { [name]: '-x-' }
      if (!freeText.has(`${id}/${name}`))
        expect(() => readers[dialect](nonsense, id), name).toThrow()
    }
  })

  it('has an example in every dialect that knows it, and it compiles', () => {
    const documents = parseAllDocuments(read(id, 'example.yaml')).map((d) => d.toJS())
    expect(documents.map((d) => d.kind).sort()).toEqual([
      ...(fault.names.chaosplane.length > 0 ? ['ChaosExperiment'] : []),
      ...(fault.names.litmus.length > 0 ? ['KubernetesChaosExperiment'] : []),
    ])
    for (const document of documents) {
      const compiled = compile(document.kind as Plan['dialect'], document, faultCatalogue)
      expect(compiled).toMatchObject({ ok: true, plan: { tasks: [{ fault: id }], notes: [] } })
      const params = compiled.ok ? compiled.plan.tasks[0]?.params : null
      expect(fault.params.parse(JSON.parse(JSON.stringify(params)))).toEqual(params)
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
