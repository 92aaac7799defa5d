import { parseArgs } from 'node:util'
import { Recorder } from './recorder.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8000' },
    host: { type: 'string', default: '0.0.0.0' },
    dir: { type: 'string', default: './recorded' },
  },
})

const recorder = new Recorder(values.dir)
const port = await recorder.listen(Number(values.port), values.host)
process.stdout.write(`recording to ${values.dir}, listening on ${values.host}:${port}\n`)
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => void recorder.stop().then(() => process.exit(0)))
