/** How a piece of a line is meant; the terminal turns it into colour. */
export type Tone = 'plain' | 'strong' | 'dim' | 'good' | 'bad' | 'busy'
export type Piece = readonly [text: string, tone: Tone]
export type Line = readonly Piece[]

const codes: Record<Tone, string> = {
  plain: '',
  strong: '\u001b[1m',
  dim: '\u001b[2m',
  good: '\u001b[32m',
  bad: '\u001b[31m',
  busy: '\u001b[33m',
}

/** The line as text, with colour codes if wanted. */
export function paint(line: Line, colour: boolean): string {
  return line
    .map(([text, tone]) => (colour && codes[tone] ? `${codes[tone]}${text}\u001b[0m` : text))
    .join('')
}

/** The line cut to `width` columns; what is cut ends in an ellipsis. */
export function shorten(line: Line, width: number): Line {
  const length = line.reduce((sum, [text]) => sum + text.length, 0)
  if (length <= width) return line
  const cut: Piece[] = []
  let room = width - 1
  for (const [text, tone] of line) {
    if (room <= 0) break
    cut.push([text.slice(0, room), tone])
    room -= text.length
  }
  return [...cut, ['…', 'dim']]
}

/** 75_000 → `1:15`. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

/** 8_234 → `8.2 s`, 75_000 → `1 min 15 s`. */
export function duration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** A bar of `width` columns, filled to `share` (0 to 1). */
export function bar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width)
  return '█'.repeat(full) + '░'.repeat(width - full)
}
