import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { link, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { run } from './shell.ts'

/** How a container of the image starts; the same names as in every image's configuration. */
export type ImageConfig = {
  User?: string
  Env?: string[]
  Entrypoint?: string[]
  Cmd?: string[]
  WorkingDir?: string
  StopSignal?: string
}

/** A layer: an uncompressed tar and its sha256, when it is known already. */
export type Layer = { tar: string; sha256?: string }

/** Puts layers together to a docker archive; takes as long as copying the layers. */
export async function writeImageArchive(image: {
  archive: string
  name: string
  config: ImageConfig
  layers: Layer[]
}): Promise<void> {
  const work = await mkdtemp(join(dirname(image.archive), 'tmp-'))
  try {
    const digests = await Promise.all(image.layers.map((l) => l.sha256 ?? sha256(l.tar)))
    for (const [i, layer] of image.layers.entries()) await link(layer.tar, join(work, `${i}.tar`))
    const write = (file: string, content: unknown) =>
      writeFile(join(work, file), JSON.stringify(content))
    await write('config.json', {
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      created: '1970-01-01T00:00:00Z',
      config: image.config,
      rootfs: { type: 'layers', diff_ids: digests.map((d) => `sha256:${d}`) },
    })
    const layers = digests.map((_, i) => `${i}.tar`)
    await write('manifest.json', [
      { Config: 'config.json', RepoTags: [image.name], Layers: layers },
    ])
    const whole = `${work}.tar`
    await run('tar', ['-C', work, '-cf', whole, 'manifest.json', 'config.json', ...layers])
    await rename(whole, image.archive)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Takes a docker archive with one layer apart: its configuration, and the layer as `<folder>/layer.tar`. */
export async function readSingleLayer(archive: string, folder: string): Promise<ImageConfig> {
  const entry = async (path: string) => await run('tar', ['-xOf', archive, path])
  const [manifest] = JSON.parse(await entry('manifest.json')) as {
    Config: string
    Layers: string[]
  }[]
  const [layer, ...more] = manifest?.Layers ?? []
  if (!manifest || !layer || more.length > 0)
    throw new Error(`${basename(archive)} has not exactly one layer: ${manifest?.Layers.join(' ')}`)
  const { config } = JSON.parse(await entry(manifest.Config)) as { config: ImageConfig }
  // Some builders store the layer as a link to a file of another name.
  await run('tar', ['-C', folder, '-xf', archive])
  await run('cp', ['-L', '--reflink=auto', join(folder, layer), join(folder, 'base-layer')])
  await run('find', [folder, '-mindepth', '1', '!', '-name', 'base-layer', '-delete'])
  await rename(join(folder, 'base-layer'), join(folder, 'layer.tar'))
  return config
}

/** sha256 of a file, in hex. */
export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

/** One sha256 over several files' contents. */
export async function sha256Of(files: string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const file of files) hash.update(`${basename(file)}\0`).update(await readFile(file))
  return hash.digest('hex')
}
