import type { Trouble } from '../../../model/errors.ts'
import type { CommandInputs } from '../../../model/probe.ts'
import { compare, refuseComparator } from '../comparator.ts'
import { quote } from '../pattern.ts'
import { type CommandReading, failed, notEvaluated, type ProbeKind, passed } from '../probe-io.ts'

const error = (reason: string): Trouble => ({ code: 'CMD_PROBE_ERROR', reason })
const failure = (reason: string): Trouble => ({ code: 'CMD_PROBE_FAILURE', reason })

function refuse(inputs: CommandInputs): Trouble | null {
  if (!inputs.command.trim()) return error('A cmd probe needs a command.')
  const badEnv = inputs.env.find(({ name }) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  if (badEnv) return error(`${quote(badEnv.name)} is not a name of an environment variable.`)
  const why = refuseComparator(inputs.comparator)
  return why ? error(why) : null
}

function assess(reading: CommandReading, inputs: CommandInputs): ReturnType<typeof passed> {
  if (reading.kind === 'impossible') return notEvaluated(error(reading.why))
  if (reading.kind === 'too-late') return tooLate()
  const { exitCode, stdout, stderr, cut } = reading
  if (exitCode !== 0) {
    const said = stderr.trim() || stdout.trim()
    return notEvaluated(
      error(
        `The command ended with exit status ${exitCode}${said ? ` and said ${quote(said, 300)}` : ''}; it must end with 0 for its output to be compared.`,
      ),
    )
  }
  if (cut)
    return notEvaluated(
      error('The command wrote more than 64 KiB; let it print only what is to be compared.'),
    )
  const { result, text } = compare(inputs.comparator, stdout.trim())
  if (result === 'unusable') return notEvaluated(error(text))
  return result === 'holds' ? passed(text) : failed(failure(`The command's output: ${text}.`))
}

const tooLate = (timeoutMs?: number): ReturnType<typeof passed> =>
  failed({
    code: 'PROBE_TIMEOUT',
    reason: `The command did not end within ${timeoutMs === undefined ? 'probeTimeout' : `${timeoutMs} ms`}.`,
  })

/** Runs a command in a pod without rights and judges what it prints. */
export const commandProbe: ProbeKind<CommandInputs, CommandReading> = {
  refuse,
  prepare: (inputs, io, signal) => io.commands.prepare(inputs, signal),
  sample: (inputs, io, limit) => io.commands.run(inputs, limit),
  assess,
  tooLate: (_inputs, timeoutMs) => tooLate(timeoutMs),
}
