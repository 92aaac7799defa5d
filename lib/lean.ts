import { setFlagsFromString } from 'node:v8'

/**
 * Makes V8 fit a program that lives for weeks and is idle most of the time: its two optimizing compilers for hot
 * code cost 16 MB of a program of 80 (docs/decisions/0007-memory.md). Call it when everything is loaded: Node's own
 * code caches, and those of the image, are of use to the flags only under which they were made.
 */
export function stayLean(): void {
  // JavaScript is still compiled by Sparkplug and Maglev
  setFlagsFromString('--no-opt')
  // the parser of HTTP is WebAssembly: baseline code, and never anything else
  for (const flag of ['--liftoff-only', '--no-wasm-tier-up', '--no-wasm-dynamic-tiering'])
    setFlagsFromString(flag)
}
