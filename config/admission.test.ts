import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { faultCatalogue } from '../runner/faults/catalogue.generated.ts'
import { actOf, actsExpression, fillActs } from './admission.ts'

const faults = Object.values(faultCatalogue)

it('knows every name of every fault', () => {
  const expression = actsExpression(faults)
  for (const { names } of faults)
    for (const name of [...names.litmus, ...names.chaosplane])
      expect(expression).toContain(`"${name}": "`)
})

it('asks for the first right that changes something, and refuses a fault that has none', () => {
  const reading = { group: '', resource: 'pods', verbs: ['get', 'list'], why: '' }
  const acting = { group: 'apps', resource: 'deployments/scale', verbs: ['get', 'patch'], why: '' }
  expect(actOf({ id: 'x', permissions: [reading, acting] })).toEqual({
    ...acting,
    verbs: ['patch'],
  })
  expect(() => actOf({ id: 'x', permissions: [reading] })).toThrow('the fault x names no right')
})

it('the template in the repository is up to date', () => {
  const text = readFileSync(new URL('chart/templates/admission.yaml', import.meta.url), 'utf8')
  expect(fillActs(text, faults)).toBe(text)
  expect(() => fillActs('spec: {}', faults)).toThrow('no mark')
})
