import { expect, it } from 'vitest'
import { faultCatalogue } from '../runner/faults/catalogue.generated.ts'
import { faultsPage } from './faults-page.ts'

const faults = Object.values(faultCatalogue)
const page = faultsPage(faults)

/** What stands below a heading, down to the next one. */
const below = (heading: string): string => page.split(`\n${heading}\n`)[1]?.split(/\n##+ /)[0] ?? ''
const tunables = (text: string): string[] =>
  [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, n]) => n ?? '')

const chosenBy = {
  pods: 'POD_AFFECTED_PERCENTAGE',
  containers: 'TARGET_CONTAINER',
  nodes: 'TARGET_NODE',
  workloads: 'POD_AFFECTED_PERCENTAGE',
}

it.each(faults)('$id stands once where its $targets are chosen', ({ id, targets }) => {
  const of = ['pods', 'nodes', 'workloads'].filter((kind) =>
    below(`### Faults on ${kind}`).includes(`\`${id}\``),
  )
  expect(of).toEqual([targets === 'containers' ? 'pods' : targets])
  expect(tunables(below(`### Faults on ${of}`))).toContain(chosenBy[targets])
})

it('calls nothing common that a fault on nodes does not have', () => {
  const common = tunables(below('## Common to all'))
  expect(common).toContain('TOTAL_CHAOS_DURATION')
  for (const name of ['TARGET_PODS', 'TARGET_CONTAINER', 'TARGETS_MODE', 'POD_AFFECTED_PERCENTAGE'])
    expect(common).not.toContain(name)
})

it('names every way to name nodes', () => {
  const ofNodes = below('### Faults on nodes')
  for (const name of [
    'TARGET_NODE',
    'TARGET_NODES',
    'NODE_LABEL',
    'NODES_AFFECTED_PERCENTAGE',
    'NODES_AFFECTED_PERC',
  ])
    expect(ofNodes).toMatch(new RegExp(`\\b${name}\\b`))
})
