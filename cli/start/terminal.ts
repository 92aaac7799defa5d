import { type Line, paint, shorten } from './view/text.ts'

/** Where text goes: a terminal that can be redrawn, or a stream of plain lines. */
export type Output = {
  isTerminal: boolean
  colour: boolean
  columns(): number
  rows(): number
  write(text: string): void
}

/** A text that stays, above a block at the bottom that is redrawn in place. */
export type Screen = {
  isTerminal: boolean
  columns(): number
  /** a line that stays */
  print(line: Line): void
  /** replaces the block; without a terminal it is not shown */
  show(block: readonly Line[]): void
  /** the block becomes text that stays */
  settle(): void
  /** takes the block away and shows the cursor again */
  end(): void
}

const hideCursor = '\u001b[?25l'
const showCursor = '\u001b[?25h'
const clearDown = '\u001b[J'
const up = (lines: number): string => (lines > 0 ? `\u001b[${lines}A\r` : '\r')

/** A Screen on an output. */
export function createScreen(output: Output): Screen {
  let block: readonly Line[] = []
  let drawn = 0
  let isHidden = false

  const text = (line: Line): string => paint(line, output.colour)
  const erase = (): string => (drawn > 0 ? up(drawn) + clearDown : '')
  const draw = (before: string): void => {
    // A block that is higher than the screen would scroll and could not be taken back.
    const room = Math.max(1, output.rows() - 1)
    const lines =
      block.length > room ? [...block.slice(0, room - 1), more(block.length - room + 1)] : block
    const cursor = isHidden ? '' : hideCursor
    isHidden = true
    const body = lines.map((line) => `${text(shorten(line, output.columns()))}\n`).join('')
    output.write(cursor + erase() + before + body)
    drawn = lines.length
  }

  return {
    isTerminal: output.isTerminal,
    columns: output.columns,
    print(line) {
      if (output.isTerminal) draw(`${text(line)}\n`)
      else output.write(`${text(line)}\n`)
    },
    show(next) {
      block = next
      if (output.isTerminal) draw('')
    },
    settle() {
      if (output.isTerminal) {
        const whole = block.map((line) => `${text(line)}\n`).join('')
        output.write(erase() + whole)
      }
      block = []
      drawn = 0
    },
    end() {
      if (output.isTerminal) output.write(erase() + (isHidden ? showCursor : ''))
      isHidden = false
      block = []
      drawn = 0
    },
  }
}

const more = (hidden: number): Line => [[`… ${hidden} more lines; make the terminal higher`, 'dim']]
