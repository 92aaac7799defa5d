import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What whoever comes later needs to know of a cluster; `id`: kube-system's uid. */
export type About = { slot: number; nodes: number; id: string }

const fileIn = (folder: string): string => join(folder, 'about.json')

export const writeAbout = (folder: string, about: About): Promise<void> =>
  writeFile(fileIn(folder), JSON.stringify(about))

/** Of the cluster in a folder; undefined when it never came up. */
export function aboutOf(folder: string): About | undefined {
  try {
    return JSON.parse(readFileSync(fileIn(folder), 'utf8')) as About
  } catch {
    return undefined
  }
}
