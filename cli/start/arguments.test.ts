import { describe, expect, it } from 'vitest'
import { parseArguments, usage } from './arguments.ts'

const defaults = {
  context: null,
  image: null,
  provider: null,
  once: false,
  keep: false,
  timeoutMs: 600_000,
}

describe('arguments of npm start', () => {
  const accepted: [string[], Partial<typeof defaults> | Record<string, unknown>][] = [
    [[], {}],
    [['--once'], { once: true }],
    [['--keep'], { keep: true }],
    [['--provider', 'kind'], { provider: 'kind' }],
    [['--provider=local', '--once'], { provider: 'local', once: true }],
    [['--context', 'prod-eu', '--image', 'r/c:1'], { context: 'prod-eu', image: 'r/c:1' }],
    [['--timeout', '90'], { timeoutMs: 90_000 }],
  ]
  it.each(accepted)('%j is understood', (args, change) => {
    expect(parseArguments(args)).toEqual({ do: 'start', options: { ...defaults, ...change } })
  })

  const refused: [string[], RegExp][] = [
    [['--context', 'x'], /needs --image REF/],
    [['--context', '', '--image', 'r'], /get-contexts/],
    [['--context'], /argument missing/i],
    [['--image', 'r'], /--context only/],
    [['--provider', 'minikube'], /local or kind, got "minikube"/],
    [['--provider', 'kind', '--context', 'x', '--image', 'r'], /give one of them/],
    [['--once', '--keep'], /give one of them/],
    [['--timeout', '0'], /1 to 86400/],
    [['--timeout', 'soon'], /1 to 86400/],
    [['--contxt', 'x'], /--contxt/],
    [['cluster'], /cluster/],
  ]
  it.each(refused)('%j is refused with what would be right', (args, reason) => {
    const parsed = parseArguments(args)
    expect(parsed.do).toBe('refuse')
    expect(parsed.do === 'refuse' && parsed.reason).toMatch(reason)
  })

  it('helps, whatever else is given', () => {
    expect(parseArguments(['--help', '--once'])).toEqual({ do: 'help' })
    expect(parseArguments(['-h'])).toEqual({ do: 'help' })
  })

  it('names every option in the help', () => {
    for (const option of ['context', 'image', 'provider', 'once', 'keep', 'timeout', 'help'])
      expect(usage).toContain(`--${option}`)
  })
})
