import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { faultCatalogue } from '../runner/faults/catalogue.generated.ts'
import { actsExpression, actsOf, fillMaps, resourcesExpression } from './admission.ts'

const faults = Object.values(faultCatalogue)

it('knows every name of every fault', () => {
  const expression = actsExpression(faults)
  for (const { names } of faults)
    for (const name of [...names.litmus, ...names.chaosplane])
      expect(expression).toContain(`"${name}": "`)
})

it('asks for every right that changes something, and refuses a fault that has none', () => {
  const reading = { group: '', resource: 'pods', verbs: ['get', 'list'], why: '' }
  const scaling = { group: 'apps', resource: 'deployments/scale', verbs: ['get', 'patch'], why: '' }
  const evicting = { group: '', resource: 'pods/eviction', verbs: ['create'], why: '' }
  const patching = { ...scaling, verbs: ['patch'] }
  expect(actsOf({ id: 'x', permissions: [reading, scaling, evicting] })).toEqual([
    patching,
    evicting,
  ])
  expect(() => actsOf({ id: 'x', permissions: [reading] })).toThrow('the fault x names no right')
})

it('knows what a probe of a ChaosExperiment may name, in both numbers', () => {
  const expression = resourcesExpression()
  expect(expression).toContain('"pod": "list||pods||Namespaced"')
  expect(expression).toContain('"endpoints": "list||endpoints||Namespaced"')
  expect(expression).toContain('"nodes": "list||nodes||Cluster"')
  expect(expression).toContain('"deployment": "list|apps|deployments||Namespaced"')
})

it('the template in the repository is up to date', () => {
  const text = readFileSync(new URL('chart/templates/admission.yaml', import.meta.url), 'utf8')
  expect(fillMaps(text, faults)).toBe(text)
  expect(() => fillMaps('spec: {}', faults)).toThrow('no mark for the acts')
})
