import { kindIsHere } from '../cluster/kind.ts'
import { prepareMachine } from './machine.ts'

const started = performance.now()

function say(line: string): void {
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(`prepare ${String(seconds).padStart(4)} s  ${line}`)
}

const [purpose] = process.argv.slice(2)
if (purpose !== 'start' && purpose !== 'test' && purpose !== 'vm') {
  console.error('usage: prepare.sh start|test|vm')
  process.exit(2)
}
// "start" learns from its arguments whether it needs a cluster of its own, and prepares the machine only then.
if (purpose !== 'start')
  try {
    const forTests = async () => ((await kindIsHere()) ? 'api-server' : 'cluster')
    await prepareMachine(purpose === 'vm' ? 'vm' : await forTests(), say)
    say('everything is there')
  } catch (e) {
    console.error(`prepare: ${e instanceof Error ? e.message : String(e)}`)
    process.exit(1)
  }
