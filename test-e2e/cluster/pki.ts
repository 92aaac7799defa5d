import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Who a certificate speaks for, and under which addresses it serves. */
export type Subject = { name: string; user: string; groups?: string[]; addresses?: string[] }

/** Makes the certificate authority and the key that signs service account tokens. */
export async function createAuthority(folder: string): Promise<void> {
  await Promise.all([
    request(folder, { name: 'ca', user: 'chaosplane-test' }, 'basicConstraints=critical,CA:TRUE'),
    serviceAccountKey(folder),
  ])
}

/** Makes `<name>.crt` and `<name>.key`, signed by the folder's authority. */
export async function createCertificate(folder: string, subject: Subject): Promise<void> {
  const names = subject.addresses?.map((a) => `${/^[\d.]+$/.test(a) ? 'IP' : 'DNS'}:${a}`)
  const usage = 'extendedKeyUsage=clientAuth,serverAuth\nbasicConstraints=CA:FALSE'
  await request(
    folder,
    subject,
    names ? `${usage}\nsubjectAltName=${names.join(',')}` : usage,
    'ca',
  )
}

/** Writes a kubeconfig file for a certificate made before; returns its path. */
export async function writeKubeconfig(
  folder: string,
  name: string,
  target: { server: string; file: string },
): Promise<string> {
  const base64 = async (file: string) => (await readFile(join(folder, file))).toString('base64')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'chaosplane-test',
    contexts: [{ name: 'chaosplane-test', context: { cluster: 'test', user: name } }],
    clusters: [
      {
        name: 'test',
        cluster: { server: target.server, 'certificate-authority-data': await base64('ca.crt') },
      },
    ],
    users: [
      {
        name,
        user: {
          'client-certificate-data': await base64(`${name}.crt`),
          'client-key-data': await base64(`${name}.key`),
        },
      },
    ],
  }
  await writeFile(target.file, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
  return target.file
}

async function request(folder: string, subject: Subject, extensions: string, signer?: string) {
  const path = (suffix: string) => join(folder, `${subject.name}.${suffix}`)
  const groups = (subject.groups ?? []).map((g, i) => `${i}.O=${g}`).join('\n')
  const settings = `[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\n${groups}\nCN=${subject.user}\n[ext]\n${extensions}\n`
  await writeFile(path('cnf'), settings)
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  args.push('-nodes', '-days', '365', '-config', path('cnf'))
  args.push('-keyout', path('key'), '-out', path('crt'))
  if (signer)
    args.push('-CA', join(folder, `${signer}.crt`), '-CAkey', join(folder, `${signer}.key`))
  await run('openssl', args)
}

async function serviceAccountKey(folder: string) {
  const key = join(folder, 'sa.key')
  await run('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', key])
  await run('openssl', ['ec', '-in', key, '-pubout', '-out', join(folder, 'sa.pub')])
}
