/** 32-bit FNV-1a, so that every text gives its own sequence. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i)
    h = Math.imul(h, 0x01000193)
  }
  return h >>> 0
}

/** A sequence of numbers in [0, 1), the same for the same seed and text: a run that is taken over chooses the same targets. */
export function seededChance(seed: number, text: string): () => number {
  let state = (hash(`${seed}/${text}`) ^ Math.imul(seed, 0x9e3779b1)) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `count` members without replacement, each set of that size equally likely. */
export function sample<T>(members: readonly T[], count: number, chance: () => number): T[] {
  const pool = [...members]
  const take = Math.max(0, Math.min(count, pool.length))
  for (let i = 0; i < take; i++) {
    const at = i + Math.floor(chance() * (pool.length - i))
    const [here, there] = [pool[i] as T, pool[at] as T]
    pool[i] = there
    pool[at] = here
  }
  return pool.slice(0, take)
}
