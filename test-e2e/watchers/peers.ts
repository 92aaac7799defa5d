import type { Recorder } from '../recorder/recorder.ts'
import type { Json } from './api.ts'

/** One report as its bytes say. */
export type Report = {
  at: number
  url: URL
  accessKey: string
  args: Json
  text: string
  data: Json
}
export type Line = { level: string; pos: number; out: string; time: string; args: Json }

const header = (headers: [string, string][], name: string): string =>
  headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? ''

/** The reports of one run that were answered with 200, in the order in which they came. */
export function reportsOf(recorder: Recorder, runId: string): Report[] {
  return recorder
    .requests('/task/response/')
    .filter(({ answered }) => answered === '200')
    .map(({ n, at, url, headers }) => {
      const { args } = JSON.parse(recorder.body(n).toString('utf8'))
      return {
        at,
        url: new URL(url, 'http://recorder'),
        accessKey: header(headers, 'x-access-key'),
        args,
        text: args.executionData as string,
        data: JSON.parse(args.executionData),
      }
    })
    .filter(({ args }) => args.workflowRunID === runId)
}

/** What came to one log: the calls in order, and all lines, as they came. */
export function logOf(recorder: Recorder, key: string): { calls: string[]; lines: Line[] } {
  const calls: string[] = []
  const lines: Line[] = []
  for (const { n, url, method, answered } of recorder.requests('/log-service')) {
    const { pathname, searchParams } = new URL(url, 'http://recorder')
    if (searchParams.get('key') !== key || answered !== '200') continue
    calls.push(`${method} ${pathname}`)
    if (method === 'PUT') lines.push(...JSON.parse(recorder.body(n).toString('utf8')))
  }
  return { calls, lines }
}
