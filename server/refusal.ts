import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type * as z from 'zod'

/** One thing that is wrong with a request. */
export type Wrong = { path: string; reason: string; suggestion: string }

/** A request that is answered with its status and with what to change. */
export class Refusal extends Error {
  readonly status: number
  readonly wrong: Wrong[]
  constructor(status: number, message: string, wrong: Wrong[] = []) {
    super(message)
    this.name = 'Refusal'
    this.status = status
    this.wrong = wrong
  }
}

/** A value that was read from a request, or a Refusal that names every wrong field. */
export function read<T>(schema: z.ZodType<T>, value: unknown, part: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const wrong = result.error.issues.map((issue) => ({
    path: [part, ...issue.path.map(String)].join('.'),
    reason: issue.message,
    suggestion: suggestionFor(issue),
  }))
  const first = wrong[0]
  throw new Refusal(400, `${first?.path}: ${first?.reason}`, wrong)
}

function suggestionFor(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return `send a value of type ${issue.expected}`
  if (issue.code === 'invalid_value') return `use ${issue.values.map(String).join(' or ')}`
  if (issue.code === 'too_small') return `send at least ${issue.minimum}`
  if (issue.code === 'too_big') return `send at most ${issue.maximum}`
  return 'see the documented request'
}

/** Turns anything thrown in a handler into an answer; what is not the sender's fault is logged and told without details. */
export function answerError(
  thrown: FastifyError | Refusal | Error,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  if (thrown instanceof Refusal)
    return reply.code(thrown.status).send({ message: thrown.message, errors: thrown.wrong })
  const status = 'statusCode' in thrown ? (thrown.statusCode ?? 500) : 500
  if (status < 500) return reply.code(status).send({ message: thrown.message, errors: [] })
  request.log.error({ err: thrown }, 'a request failed')
  const message = 'the server could not do this; its log says why. Try again'
  return reply.code(500).send({ message, errors: [] })
}
