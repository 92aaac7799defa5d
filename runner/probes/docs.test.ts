import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseProbe } from '../../model/compile/probe.ts'
import { commandProbe } from './command/index.ts'
import { httpProbe } from './http/index.ts'
import { k8sProbe } from './k8s/index.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/probes.md'), 'utf8')
const block = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
const entries = Object.entries((parse(block) as { data: Record<string, string> }).data)

it('the page shows one probe of every type', () => {
  const types = entries.map(([, text]) => (parse(text) as { type: string }).type)
  expect(types.sort()).toEqual(['cmdProbe', 'httpProbe', 'k8sProbe'])
})

it.each(entries)(
  '%s of the page is read without refusal or note, and can be evaluated',
  (key, text) => {
    const read = parseProbe(text, 'SOT', key)
    expect(read).toMatchObject({ ok: true, notes: [] })
    if (!read.ok) return
    const { probe } = read
    if (probe.type === 'httpProbe') expect(httpProbe.refuse(probe.inputs)).toBeNull()
    if (probe.type === 'k8sProbe') expect(k8sProbe.refuse(probe.inputs)).toBeNull()
    if (probe.type === 'cmdProbe') expect(commandProbe.refuse(probe.inputs)).toBeNull()
  },
)
