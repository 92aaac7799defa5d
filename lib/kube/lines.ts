/** Cuts a stream of chunks into lines; a last line without an end counts. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  maxLineBytes: number,
): AsyncGenerator<string> {
  const cutter = createLineCutter(maxLineBytes)
  for await (const chunk of chunks) yield* cutter.push(chunk)
  const rest = cutter.rest()
  if (rest !== '') yield rest
}

/** Collects bytes and gives back whole lines. */
export type LineCutter = { push(chunk: Uint8Array): string[]; rest(): string }

/** A LineCutter that refuses a line of more than `maxLineBytes`. */
export function createLineCutter(maxLineBytes: number): LineCutter {
  let held: Buffer[] = []
  let heldBytes = 0
  const take = (last: Buffer): string => {
    const line = held.length === 0 ? last : Buffer.concat([...held, last])
    held = []
    heldBytes = 0
    return line.toString('utf8')
  }
  return {
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      const lines: string[] = []
      let from = 0
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
        lines.push(take(bytes.subarray(from, end)))
        from = end + 1
      }
      if (from < bytes.length) {
        heldBytes += bytes.length - from
        if (heldBytes > maxLineBytes)
          throw new Error(`a line of more than ${maxLineBytes} bytes came; raise the limit`)
        // copied: the chunk may be a slice of a buffer that is used again
        held.push(Buffer.from(bytes.subarray(from)))
      }
      return lines
    },
    rest: () => take(Buffer.alloc(0)),
  }
}
