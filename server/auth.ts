import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Compares in a time that tells nothing about the secret. */
export function secretCheck(secret: string): (given: unknown) => boolean {
  const expected = digest(secret)
  return (given) => typeof given === 'string' && timingSafeEqual(digest(given), expected)
}

/** A hook that lets only requests through whose header holds the secret; `bearer` also accepts Authorization. */
export function requireSecret(options: {
  header: string
  secret: string
  bearer?: boolean
}): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const matches = secretCheck(options.secret)
  const header = options.header.toLowerCase()
  return async (request, reply) => {
    if (matches(request.headers[header])) return
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    if (options.bearer && matches(bearer)) return
    await reply
      .code(401)
      .type('text/plain; charset=utf-8')
      .send(`unauthorized: send the right key in the header ${options.header}`)
  }
}
