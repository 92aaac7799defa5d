import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import { leaveOut } from './leave-out.ts'

const root = join(import.meta.dirname, '../..')

/** The programs of the image: name in /app and the file that it starts from. */
export const programs = {
  'operator.cjs': 'operator/main.ts',
  'runner.cjs': 'runner/main.ts',
  'server.cjs': 'server/main.ts',
  'demo.cjs': 'cli/start/demo-app/main.ts',
  'fault-pod.cjs': 'runner/fault-pod/main.ts',
} as const

/** `crash`: with the points at which a test may end a program; never for an image that is given away. */
export type BundleSettings = { crash: boolean }

/** Bundles every program whose entry exists into `folder`, with what the image build runs; returns all names. */
export async function bundle(
  folder: string,
  settings: BundleSettings = { crash: false },
): Promise<string[]> {
  const present = Object.entries(programs).filter(([, entry]) => existsSync(join(root, entry)))
  // Readers never see half a bundle: a new folder takes the old one's place.
  const fresh = `${folder}.${process.pid}`
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true })
  await Promise.all(
    present.map(([name, entry]) =>
      build({ ...optionsFor(name, entry, fresh), dropLabels: settings.crash ? [] : ['CRASH'] }),
    ),
  )
  await copyFile(join(import.meta.dirname, 'warm.sh'), join(fresh, 'warm.sh'))
  // the fault pod's second container is a shell script
  await copyFile(join(root, 'runner/fault-pod/guard.sh'), join(fresh, 'guard.sh'))
  await rm(folder, { recursive: true, force: true })
  await rename(fresh, folder)
  return await readdir(folder)
}

function optionsFor(name: string, entry: string, folder: string): BuildOptions {
  return {
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
    plugins: [leaveOut],
    // an ES module asks each of Node's modules for all that it has, fetch included; require for what is used
    format: 'cjs',
    // the fault program is on Node's own modules: the quickest start that there is
    ...(name === 'fault-pod.cjs' ? { packages: 'external' } : {}),
  }
}

if (import.meta.main) {
  const made = await bundle(join(root, 'dist'))
  console.log(`dist/: ${made.join(', ')}`)
}
