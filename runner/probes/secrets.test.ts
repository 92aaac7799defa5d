import { expect, it } from 'vitest'
import { parseProbe } from '../../model/compile/probe.ts'
import { createMasker, MASK } from '../logs/mask.ts'
import { secretsOf } from './secrets.ts'

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
