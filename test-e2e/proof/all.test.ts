import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { features } from './all.ts'

const root = join(import.meta.dirname, '../..')

it.each(features.map((f) => [f.name, f] as const))(
  '%s is switched off where it is now, and stories stand for it',
  (_, { edits, stories }) => {
    const places = edits.map(({ file, from }) => [
      file,
      readFileSync(join(root, file), 'utf8').split(from).length - 1,
    ])
    expect(places).toEqual(edits.map(({ file }) => [file, 1]))
    expect(stories.length).toBeGreaterThan(0)
    for (const { file } of stories)
      expect(existsSync(join(root, `test-e2e/stories/${file}.story.test.ts`)), file).toBe(true)
  },
)
