import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'

const root = join(import.meta.dirname, '../..')

/** The programs of the image: name in /app and the file that it starts from. */
export const programs = {
  'operator.mjs': 'operator/main.ts',
  'runner.mjs': 'runner/main.ts',
  'server.mjs': 'server/main.ts',
  'demo.mjs': 'cli/start/demo-app/main.ts',
  // one CommonJS file on Node's own modules: the quickest start that there is
  'fault-pod.cjs': 'runner/fault-pod/main.ts',
} as const

/** Bundles every program whose entry exists into `folder`, with what the image build runs; returns all names. */
export async function bundle(folder: string): Promise<string[]> {
  const present = Object.entries(programs).filter(([, entry]) => existsSync(join(root, entry)))
  // Readers never see half a bundle: a new folder takes the old one's place.
  const fresh = `${folder}.${process.pid}`
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true })
  await Promise.all(present.map(([name, entry]) => build(optionsFor(name, entry, fresh))))
  await copyFile(join(import.meta.dirname, 'warm.sh'), join(fresh, 'warm.sh'))
  // the fault pod's second container is a shell script
  await copyFile(join(root, 'runner/fault-pod/guard.sh'), join(fresh, 'guard.sh'))
  await rm(folder, { recursive: true, force: true })
  await rename(fresh, folder)
  return await readdir(folder)
}

const leftOut = `
class LeftOut { constructor() { throw new Error('the generated Kubernetes API is not part of this program') } }
// names are looked up on the prototype: whatever is imported is there, and none of it can be made
module.exports = Object.create(new Proxy({}, { get: () => LeftOut }))`

/**
 * client-node's generated API classes: 900 modules that none of the programs calls (lib/kube talks JSON). What is
 * used of the package is its kubeconfig and its WebSockets.
 */
const withoutGeneratedApi: Plugin = {
  name: 'without-generated-api',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\/(models|types)\/|\/apis\/.*Api\.js$/ }, ({ importer }) =>
      importer.includes('client-node/dist/')
        ? { path: 'generated-api', namespace: 'left-out' }
        : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({ contents: leftOut }))
  },
}

function optionsFor(name: string, entry: string, folder: string): BuildOptions {
  const common: BuildOptions = {
    entryPoints: [join(root, entry)],
    outfile: join(folder, name),
    absWorkingDir: root,
    bundle: true,
    minify: true,
    // stack traces name functions even where they are minified
    keepNames: true,
    platform: 'node',
    target: 'node24',
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [withoutGeneratedApi],
  }
  if (name.endsWith('.cjs')) return { ...common, format: 'cjs', packages: 'external' }
  // CommonJS packages inside an ES module still ask for require.
  const js =
    "import{createRequire as chaosplaneRequire}from'node:module';const require=chaosplaneRequire(import.meta.url);"
  return { ...common, format: 'esm', banner: { js } }
}

if (import.meta.main) {
  const made = await bundle(join(root, 'dist'))
  console.log(`dist/: ${made.join(', ')}`)
}
