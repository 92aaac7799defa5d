import { createContext, Script } from 'node:vm'

/** The most text that an expression is run over, UTF-16 units: 64 KiB of ASCII. */
export const maxPatternText = 64 * 1024
/** The longest expression that is accepted. */
export const maxPatternLength = 4096

/** What an expression said about a text; `unusable` is a sentence with the next step. */
export type PatternAnswer = { found: boolean; cut: boolean } | { unusable: string }

const posixClasses = new Map(
  Object.entries({
    alnum: '0-9A-Za-z',
    alpha: 'A-Za-z',
    blank: '\\t ',
    digit: '0-9',
    lower: 'a-z',
    punct: '!-\\/:-@\\[-`{-~',
    space: '\\t\\n\\v\\f\\r ',
    upper: 'A-Z',
    word: '0-9A-Za-z_',
    xdigit: '0-9A-Fa-f',
  }),
)

/**
 * Probes are written for Go's RE2: leading flags, \A, \z and POSIX classes are told in our words.
 * Everything else that RE2 knows means the same here.
 */
export function translate(pattern: string): { source: string; flags: string } {
  const flags = /^\(\?([ims]+)\)/.exec(pattern)
  const rest = flags ? pattern.slice(flags[0].length) : pattern
  const source = rest.replace(
    /\\[\s\S]|\(\?P<|\[:(\w+):\]/g,
    (token: string, name: string | undefined) => {
      if (name) return posixClasses.get(name) ?? token
      if (token === '\\A') return '(?-m:^)'
      if (token === '\\z') return '(?-m:$)'
      return token === '(?P<' ? '(?<' : token
    },
  )
  const unicode = /\\p\{/i.test(source) ? 'u' : ''
  return { source, flags: [...new Set(flags?.[1] ?? '')].join('') + unicode }
}

// The match runs in a context of its own because only there can V8 be told to give up:
// a backtracking expression such as (a+)+$ would otherwise hold the whole program.
const search = new Script('new RegExp(source, flags).test(text)')
const room: Record<string, string> = createContext(Object.create(null))

/** Whether `pattern` is found anywhere in the first 64 KiB of `text`, given up after `limitMs`. */
export function findPattern(pattern: string, text: string, limitMs = 100): PatternAnswer {
  if (pattern.length > maxPatternLength)
    return { unusable: `The expression is longer than ${maxPatternLength} characters; shorten it.` }
  const { source, flags } = translate(pattern)
  const cut = text.length > maxPatternText
  Object.assign(room, { source, flags, text: cut ? text.slice(0, maxPatternText) : text })
  try {
    return { found: search.runInContext(room, { timeout: limitMs }) === true, cut }
  } catch (thrown) {
    const { code, message } = thrown as { code?: string; message?: string }
    if (code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      return {
        unusable: `The expression ${quote(pattern)} needed more than ${limitMs} ms; avoid nested repetitions such as (a+)+.`,
      }
    return { unusable: `The expression ${quote(pattern)} cannot be read (${message}); correct it.` }
  } finally {
    room.text = ''
  }
}

/** A text for a message: one line, bounded, in quotes. */
export function quote(text: string, max = 120): string {
  const shown = text.length > max ? `${text.slice(0, max)}…` : text
  return JSON.stringify(shown)
}
