import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAuthority, createCertificate } from '../../test-e2e/cluster/pki.ts'
import { bundle } from './bundle.ts'
import { leaveOut } from './leave-out.ts'

const run = promisify(execFile)
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leave-out-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Bundles a program as the image's are, runs it and gives back what it printed. */
async function printed(source: string): Promise<string> {
  const outfile = join(folder, 'program.cjs')
  const resolveDir = import.meta.dirname
  await build({
    stdin: { contents: source, resolveDir },
    ...{ outfile, bundle: true, minify: true, keepNames: true, platform: 'node', format: 'cjs' },
    logLevel: 'silent',
    plugins: [leaveOut],
  })
  const { stdout } = await run(process.execPath, [outfile], { timeout: 10_000 })
  return stdout.trim()
}

const loaded = `process.moduleLoadList.includes('NativeModule http2')`

describe('a bundled program', () => {
  it('reads a kubeconfig, and asks over HTTP/2 where the server wants that', async () => {
    await createAuthority(folder)
    const subject = { name: 'server', user: 'server', addresses: ['127.0.0.1'] }
    await createCertificate(folder, subject)
    const read = (name: string) => readFile(join(folder, name), 'utf8')
    const [ca, cert, key] = await Promise.all(['ca.crt', 'server.crt', 'server.key'].map(read))
    const server = createSecureServer({ cert, key }, (request, response) =>
      response.end(`HTTP/${request.httpVersion}`),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    const kubeconfig = `{clusters: [{name: one, cluster: {server: "${url}"}}]}`
    try {
      const text = await printed(`
        import { KubeConfig } from '@kubernetes/client-node'
        import { Agent } from 'undici'
        const config = new KubeConfig()
        const before = ${loaded}
        config.loadFromString(${JSON.stringify(kubeconfig)})
        const agent = new Agent({ connect: { ca: ${JSON.stringify(ca)} } })
        const ask = { origin: config.clusters[0].server, path: '/', method: 'GET' }
        agent.request(ask).then(async ({ body }) => {
          console.log(before, await body.text(), ${loaded})
          await agent.destroy()
        })`)
      expect(text).toBe('false HTTP/2.0 true')
    } finally {
      server.close()
    }
  })

  it('reads YAML when it has to', async () => {
    const text = await printed(`
      import { parse } from 'yaml'
      console.log(JSON.stringify(parse('a: [1, two]')))`)
    expect(text).toBe('{"a":[1,"two"]}')
  })

  it('says what is not there', async () => {
    const text = await printed(`
      import { KubeConfig } from '@kubernetes/client-node'
      const config = new KubeConfig()
      config.loadFromClusterAndUser({ name: 'c', server: 'http://127.0.0.1' }, { name: 'u' })
      try { config.makeApiClient(class {}) } catch (e) { console.log(e.message) }`)
    expect(text).toBe('this part of a package is not in the image')
  })

  it('is not built with a name that undici has and the image has not', async () => {
    await expect(printed(`import { fetch } from 'undici'; fetch('')`)).rejects.toThrow(
      'No matching export',
    )
  })
})

it('the programs hold one byte per character: a single other one would double their text in memory', async () => {
  const made = await bundle(join(folder, 'dist'))
  const programs = made.filter((name) => name.endsWith('.cjs'))
  expect(programs).toHaveLength(5)
  for (const name of programs) {
    const text = await readFile(join(folder, 'dist', name))
    const far = text.findIndex((byte) => byte > 127)
    expect(far < 0 ? '' : `${name}: ${text.subarray(far - 40, far + 10)}`).toBe('')
  }
})
