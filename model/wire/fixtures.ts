import { readFileSync } from 'node:fs'

/** The recorded messages of the peers, exactly as they were published. For tests of clients and servers. */
export const fixture = (
  name:
    | 'kserver-task-response.request.json'
    | 'kserver-task-response.reply.txt'
    | 'kserver-experimentrun.reply.json'
    | 'log-service-stream.request.json',
): string => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), 'utf8')
