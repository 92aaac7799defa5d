/** Number of letters to insert, delete, replace or swap with their neighbour to get from `a` to `b`. */
export function distance(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, i) => i)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (same ? 0 : 1),
      )
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1)
      row.push(cost)
    }
    ;[before, last] = [last, row]
  }
  return last[b.length] ?? 0
}

/** Nobody misspells a longer word; comparing it would only cost time. */
const longestWord = 64

/** The known word that was probably meant, or null when none is near. Case and the separators - and _ do not count. */
export function nearest(written: string, known: readonly string[]): string | null {
  if (written.length > longestWord) return null
  const plain = (word: string): string => word.toLowerCase().replaceAll(/[-_ ]/g, '')
  const short = plain(written)
  let best: { word: string; at: number } | null = null
  for (const word of known) {
    const at = distance(short, plain(word))
    if (best === null || at < best.at) best = { word, at }
  }
  if (best === null) return null
  return best.at <= Math.max(1, Math.floor(Math.min(short.length, best.word.length) / 4))
    ? best.word
    : null
}

/** A sentence for a refusal: the word that was probably meant, else all that are known. */
export function suggest(written: string, known: readonly string[]): string {
  if (known.length === 0)
    return 'there is nothing of that kind yet: write it first, or leave this out'
  const word = nearest(written, known)
  return word === null ? `use one of: ${known.join(', ')}` : `did you mean ${word}?`
}
