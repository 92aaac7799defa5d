import { describe, expect, it } from 'vitest'
import { createScreen, type Output } from './terminal.ts'
import type { Line } from './view/text.ts'

const plain = (text: string): Line => [[text, 'plain']]

/** A terminal that understands what createScreen sends, and holds what a person would see. */
function fakeTerminal(rows = 10, columns = 40) {
  const lines: string[] = ['']
  let row = 0
  let cursor = true
  const take = (token: string): void => {
    if (token === '\u001b[?25l') cursor = false
    else if (token === '\u001b[?25h') cursor = true
    else if (token === '\u001b[J') lines.splice(row, lines.length, '')
    else if (token.endsWith('A') && token.length > 1) row -= Number(token.slice(2, -1))
    else if (token === '\n') lines[++row] ??= ''
    else if (token !== '\r') lines[row] += token
  }
  const write = (text: string): void => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the codes of a terminal
    for (const [token] of text.matchAll(/\u001b\[[?0-9]*[A-Za-z]|[^\u001b]/g)) take(token)
  }
  const output: Output = {
    isTerminal: true,
    colour: false,
    columns: () => columns,
    rows: () => rows,
    write,
  }
  return { output, seen: () => lines.slice(0, row), cursor: () => cursor }
}

describe('a screen on a terminal', () => {
  it('redraws its block in place', () => {
    const terminal = fakeTerminal()
    const screen = createScreen(terminal.output)
    screen.show([plain('one'), plain('two')])
    screen.show([plain('three')])
    expect(terminal.seen()).toEqual(['three'])
  })

  it('keeps printed lines above the block', () => {
    const terminal = fakeTerminal()
    const screen = createScreen(terminal.output)
    screen.show([plain('busy')])
    screen.print(plain('done 1'))
    screen.print(plain('done 2'))
    screen.show([plain('still busy')])
    expect(terminal.seen()).toEqual(['done 1', 'done 2', 'still busy'])
  })

  it('hides the cursor while it draws and gives it back', () => {
    const terminal = fakeTerminal()
    const screen = createScreen(terminal.output)
    screen.show([plain('x')])
    expect(terminal.cursor()).toBe(false)
    screen.end()
    expect(terminal.cursor()).toBe(true)
    expect(terminal.seen()).toEqual([])
  })

  it('never draws more than fits, and says so', () => {
    const terminal = fakeTerminal(4)
    const screen = createScreen(terminal.output)
    screen.show(Array.from({ length: 9 }, (_, i) => plain(`line ${i}`)))
    expect(terminal.seen()).toEqual([
      'line 0',
      'line 1',
      '… 7 more lines; make the terminal higher',
    ])
  })

  it('leaves the whole block behind when it settles', () => {
    const terminal = fakeTerminal(3)
    const screen = createScreen(terminal.output)
    screen.show([plain('a'), plain('b'), plain('c'), plain('d')])
    screen.settle()
    screen.print(plain('after'))
    expect(terminal.seen()).toEqual(['a', 'b', 'c', 'd', 'after'])
  })

  it('cuts lines to the width', () => {
    const terminal = fakeTerminal(10, 5)
    const screen = createScreen(terminal.output)
    screen.show([plain('abcdefgh')])
    expect(terminal.seen()).toEqual(['abcd…'])
  })
})

describe('a screen without a terminal', () => {
  it('writes what stays, and neither blocks nor codes', () => {
    let written = ''
    const write = (text: string) => {
      written += text
    }
    const output: Output = {
      isTerminal: false,
      colour: false,
      columns: () => 80,
      rows: () => 24,
      write,
    }
    const screen = createScreen(output)
    screen.show([plain('busy')])
    screen.print(plain('done'))
    screen.settle()
    screen.end()
    expect(written).toBe('done\n')
  })
})
