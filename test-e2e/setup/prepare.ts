import { enforcerArchive } from '../cluster/enforcer.ts'
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
    const need = purpose === 'vm' ? 'vm' : await forTests()
    await prepareMachine(need, say)
    // A compiler at work beside the stories would upset what they measure.
    if (need === 'cluster') await enforcerArchive(say)
    say('everything is there')
  } catch (e) {
    console.error(`prepare: ${e instanceof Error ? e.message : String(e)}`)
    process.exit(1)
  }
