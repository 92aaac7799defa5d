import type * as z from 'zod'

/** How one call looks on the wire. Client (`lib/http.ts`) and server are made from the same object. */
export type Route = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** below the peer's base URL; `:name` stands for one path segment */
  path: string
  query: z.ZodType<Record<string, string>>
  /** absent: the call carries no body */
  body?: z.ZodType
}

/** All calls of one peer, by name. */
export type Contract = Record<string, Route>

/** Names of the `:segments` in a path. */
export type PathParams<P extends string> = P extends `${string}:${infer Name}/${infer Rest}`
  ? Name | PathParams<`/${Rest}`>
  : P extends `${string}:${infer Name}`
    ? Name
    : never

/** The path with its `:segments` filled in and escaped. */
export function fillPath<P extends string>(path: P, params: Record<PathParams<P>, string>): string {
  const values: Record<string, string> = params
  return path.replace(/:([A-Za-z]+)/g, (_whole, name: string) => {
    const value = values[name]
    if (value === undefined || value === '')
      throw new Error(`path ${path} needs a value for "${name}"`)
    return encodeURIComponent(value)
  })
}
