/** Replaces secrets in a text. */
export type Masker = (text: string) => string

export const MASK = '********'

/** Shorter values would mask ordinary words. */
const SHORTEST = 4

const name = String.raw`[\w.-]*(?:passw(?:or)?d|pwd|passphrase|cookie|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credentials?)[\w.-]*`
/** `password=…`, `"token": "…"`, `--api-key …`; the value ends with its quote, or at a space, comma, semicolon or ampersand. */
const named = new RegExp(
  String.raw`((?:"${name}"|'${name}'|\\"${name}\\"|\b${name})\s*[:=]\s*)(\\"(?:(?!\\").)*\\"|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"'}]+)`,
  'gi',
)
const flagged = new RegExp(String.raw`(--${name}[ \t]+)([^\s"'-]\S*)`, 'gi')
/** `Authorization: Bearer …` in headers, JSON and command lines. */
const authorization = /(authorization["'\\]*\s*[:=]\s*["'\\]*(?:[a-z]+[ \t]+)?)[^\s"'\\,]+/gi
const scheme = /\b(bearer|basic)([ \t]+)[\w.~+/=-]{8,}/gi
/** `scheme://user:password@host` */
const userInfo = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:)[^\s/@]+@/gi
/** Tokens that tell by their shape: a JWT, those of GitHub. */
const shaped = /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\bgh[pousr]_\w{20,}/g
/** One cheap look decides whether the patterns are worth their time: most lines hold none of these. */
const suspicious =
  /passw|pwd|cookie|eyJ|gh[pousr]_|passphrase|secret|token|key|credential|authorization|bearer|basic|:\/\//i

const quoted = (value: string): string => {
  const quote = /^(\\"|"|')/.exec(value)?.[0] ?? ''
  return `${quote}${MASK}${quote}`
}

function maskPatterns(text: string): string {
  return text
    .replace(authorization, `$1${MASK}`)
    .replace(shaped, MASK)
    .replace(scheme, `$1$2${MASK}`)
    .replace(userInfo, `$1${MASK}@`)
    .replace(named, (_whole, before: string, value: string) => before + quoted(value))
    .replace(flagged, `$1${MASK}`)
}

/** A secret appears as it is, line by line, in base64 (as in a Secret), in a URL and inside JSON. */
function shapesOf(secret: string): string[] {
  const lines = secret.split(/\r?\n/).map((line) => line.trim())
  const whole = secret.trim()
  const base64 = [secret, whole].map((value) => Buffer.from(value).toString('base64'))
  const shapes = [
    whole,
    ...lines,
    ...base64,
    encodeURIComponent(whole),
    JSON.stringify(whole).slice(1, -1),
  ]
  return whole.length < SHORTEST ? [] : shapes.filter((shape) => shape.length >= SHORTEST)
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)

/** Masks these secrets wherever they stand, and whatever stands behind a name such as password, token or authorization. */
export function createMasker(secrets: Iterable<string>): Masker {
  const known = new Set([...secrets].flatMap(shapesOf))
  // the longest first, or a secret that begins like another would leave its end behind
  const shapes = [...known].sort((a, b) => b.length - a.length).map(escaped)
  const exact = shapes.length > 0 ? new RegExp(shapes.join('|'), 'g') : undefined
  return (text) => {
    const without = exact ? text.replace(exact, MASK) : text
    return suspicious.test(without) ? maskPatterns(without) : without
  }
}
