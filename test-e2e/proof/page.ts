/** One story of one feature that was switched off, and what it said. */
export type Row = { feature: string; without: string; title: string; why: string }

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

/** The page that tells which story guards what. */
export const pageOf = (rows: readonly Row[]): string => `# What the stories prove

A story that cannot fail proves nothing. \`npm run proof\` takes one feature after the other out of a copy of the source, builds the image, starts a cluster and runs the stories that stand for the feature: each must fail. It takes about half an hour; \`npm run proof -- "the guard" adoption\` tries some. The table is written by a whole run in which every story failed as it must.

| Switched off | What is wrong then | Story | How it failed |
| --- | --- | --- | --- |
${rows
  .map(({ feature, without, title, why }) =>
    [feature, without, title, why.replace(/^\w*Error: /, '').slice(0, 160)].map(cell).join(' | '),
  )
  .map((line) => `| ${line} |`)
  .join('\n')}

A fault has more than one guard against the same harm, so some entries take two things out: without the guard's ear at the FIFO it still undoes what no living program looks after, and without both the program that is started again undoes it from the journal.
`
