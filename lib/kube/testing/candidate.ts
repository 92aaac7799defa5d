// A candidate as a process of its own, so that a test can kill or stop it: kubeconfig, namespace, identity.
// It writes one JSON line per tick while it believes to lead, and one when a term ends.
import { createKubeClient } from '../client.ts'
import { loadKubeConfig } from '../config.ts'
import { createElection } from '../lease.ts'

const [file = '', namespace = '', identity = ''] = process.argv.slice(2)
const client = createKubeClient({
  config: loadKubeConfig({ file, env: {} }),
  userAgent: `candidate/${identity}`,
})
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort(new Error('told to stop')))
const say = (word: object) =>
  process.stdout.write(`${JSON.stringify({ ...word, at: Date.now() })}\n`)

await createElection({
  client,
  namespace,
  name: 'leader',
  identity,
  async lead(term) {
    while (!term.signal.aborted) {
      if (term.holds()) say({ leads: identity, term: term.number })
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    say({ ended: identity, why: String(term.signal.reason) })
  },
}).run(stop.signal)
await client.close()
