import { expect, it } from 'vitest'
import { parseProbe } from '../../model/compile/probe.ts'
import { createMasker, MASK } from '../logs/mask.ts'
import { secretsOf } from './secrets.ts'
import { httpPlan } from './test-plans.ts'

const probe = (text: string) => {
  const parsed = parseProbe(text, 'SOT')
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refusals))
  return parsed.probe
}

it('credentials of a probe do not come back in what is told of it', () => {
  const http = probe(`
name: shop
type: httpProbe
httpProbe/inputs:
  url: http://shop.demo/
  auth: { type: Basic, credentials: Zm9vOmJhcg== }
  headers: { X-Api-Key: from-the-vault, Accept: text/plain }
  method: { get: { criteria: "==", responseCode: "200" } }
`)
  const command = probe(`
name: checked
type: cmdProbe
cmdProbe/inputs:
  command: check
  comparator: { type: string, criteria: equal, value: ok }
  env: [{ name: DB_PASSWORD, value: correct-horse }, { name: MODE, value: fast }]
`)
  expect(secretsOf([http, command])).toEqual(['Zm9vOmJhcg==', 'from-the-vault', 'correct-horse'])
  const mask = createMasker(secretsOf([http, command]))
  expect(mask('observed "correct-horse, text/plain, fast"')).toBe(
    `observed "${MASK}, text/plain, fast"`,
  )
})

it('contents of files do not come back either, whatever they are', () => {
  const { inputs } = httpPlan({
    tls: {
      ca: 'the authority',
      cert: 'the certificate',
      key: 'line one\nline two',
      serverName: 'web',
    },
    files: { body: { secret: 's', key: 'k' } },
    body: 'order of a customer',
    auth: { type: 'Bearer', credentials: 'open-sesame' },
  })
  const mask = createMasker(secretsOf([httpPlan(inputs)]))
  expect(mask('it said: open-sesame, line two, the authority, order of a customer; web')).toBe(
    `it said: ${MASK}, ${MASK}, ${MASK}, ${MASK}; web`,
  )
})
