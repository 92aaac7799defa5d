import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'
import type { FaultDefinition } from '../model/fault.ts'
import { crds } from './crd.ts'
import { faultsPage } from './faults-page.ts'

const root = new URL('../', import.meta.url)
const faultsFolder = new URL('runner/faults/', root)
const notByHand = 'Written by `npm run generate` from the folders beside this file; do not edit.'

type FaultFolder = {
  id: string
  name: string
  definition: FaultDefinition
  /** names of the exports that act: through the API, on the node */
  kube: string | null
  node: string | null
}

const exists = (file: URL): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  )

/** Name of the export of `file` whose id is the folder's name. */
async function exportOf(file: URL, id: string): Promise<{ name: string; value: unknown }> {
  const found = Object.entries(await import(file.href)).find(
    ([, value]) => (value as { id?: unknown } | null)?.id === id,
  )
  if (!found) throw new Error(`${file.pathname} exports nothing with the id "${id}"`)
  return { name: found[0], value: found[1] }
}

async function faultFolders(): Promise<FaultFolder[]> {
  const entries = await readdir(faultsFolder, { withFileTypes: true })
  const ids = entries.filter((e) => e.isDirectory()).map((e) => e.name)
  return Promise.all(
    ids.sort().map(async (id) => {
      const index = await exportOf(new URL(`${id}/index.ts`, faultsFolder), id)
      const acting = async (name: string): Promise<string | null> => {
        const file = new URL(`${id}/${name}`, faultsFolder)
        return (await exists(file)) ? (await exportOf(file, id)).name : null
      }
      const [kube, node] = [await acting('kube.ts'), await acting('node.ts')]
      return { id, name: index.name, definition: index.value as FaultDefinition, kube, node }
    }),
  )
}

const catalogue = (faults: FaultFolder[]): string => `// ${notByHand}
import type { FaultCatalogue } from '../../model/fault.ts'
${faults.map((f) => `import { ${f.name} } from './${f.id}/index.ts'`).join('\n')}

/** All faults by canonical id. */
export const faultCatalogue: FaultCatalogue = {
${faults.map((f) => `  '${f.id}': ${f.name},`).join('\n')}
}
`

function kubeRegistry(faults: FaultFolder[]): string {
  const acting = faults.filter((f) => f.kube !== null)
  return `// ${notByHand}
import type { KubeFault } from './kube-fault.ts'
${acting.map((f) => `import { ${f.kube} } from './${f.id}/kube.ts'`).join('\n')}

/** The acting part of every API-level fault, by canonical id. */
export const kubeFaults: Readonly<Record<string, KubeFault<never>>> = {
${acting.map((f) => `  '${f.id}': ${f.kube},`).join('\n')}
}
`
}

function nodeRegistry(faults: FaultFolder[]): string {
  const acting = faults.filter((f) => f.node !== null)
  return `// Written by \`npm run generate\`: every fault with a node part.
${acting.map((f) => `import { ${f.node} } from '../faults/${f.id}/node.ts'`).join('\n')}

export const nodeFaults = {
${acting.map((f) => `  '${f.id}': ${f.node},`).join('\n')}
} as const
`
}

/** By every name under which a fault is written: a run's status has no other. */
function capabilityTable(faults: FaultFolder[]): string {
  const rows = faults
    .filter(({ definition }) => definition.hands === 'node')
    .flatMap(({ id, definition: { names, capabilities } }) => {
      const list = [...capabilities].map((one) => `'${one}'`).join(', ')
      const all = new Set([id, ...names.litmus, ...names.chaosplane])
      return [...all].map((name) => `  '${name}': [${list}],`)
    })
  return `// Written by \`npm run generate\` from the faults; do not edit.

/** Capabilities of the fault pods of each node-level fault, by the names under which it is written. */
export const faultCapabilities: Readonly<Record<string, readonly string[]>> = {
${rows.join('\n')}
}
`
}

const changed: string[] = []

async function write(path: string, content: string): Promise<void> {
  const file = new URL(path, root)
  await mkdir(new URL('./', file), { recursive: true })
  if ((await readFile(file, 'utf8').catch(() => null)) === content) return
  await writeFile(file, content)
  changed.push(path)
}

const keepOnUninstall = { 'helm.sh/resource-policy': 'keep' }

async function writeCrds(): Promise<void> {
  for (const [name, crd] of Object.entries(crds)) {
    const header = '# Written by `npm run generate` from model/documents; do not edit.\n'
    const text = (value: unknown) =>
      header + stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })
    await write(`crds/${name}`, text(crd))
    const metadata = { ...(crd['metadata'] as object), annotations: keepOnUninstall }
    await write(`config/chart/templates/crds/${name}`, text({ ...crd, metadata }))
  }
}

/** Rights are made from the faults by their own part of the generator. */
async function writeRights(faults: FaultFolder[]): Promise<void> {
  const { writeRbac } = await import('../config/rbac.ts')
  const { writeAdmission } = await import('../config/admission.ts')
  const files = await writeRbac(
    faults.map(({ definition: { id, title, hands, permissions, restores = [], targets } }) => ({
      id,
      title,
      hands,
      permissions,
      restores,
      targets,
    })),
  )
  changed.push(...files, ...(await writeAdmission(faults.map((f) => f.definition))))
}

const faults = await faultFolders()
await writeCrds()
await write('runner/faults/catalogue.generated.ts', catalogue(faults))
await write('runner/faults/index.generated.ts', kubeRegistry(faults))
await write('runner/fault-pod/node-faults.generated.ts', nodeRegistry(faults))
await write('model/fault-capabilities.generated.ts', capabilityTable(faults))
await write('docs/faults.md', faultsPage(faults.map((f) => f.definition)))
for (const { id } of faults)
  await write(
    `examples/${id}.yaml`,
    await readFile(new URL(`${id}/example.yaml`, faultsFolder), 'utf8'),
  )
await writeRights(faults)
console.log(changed.length === 0 ? 'everything is up to date' : `written: ${changed.join(', ')}`)
