/** Waits until `what` holds. A test's own words say what was waited for in vain. */
export async function until(what: string, holds: () => unknown, ms = 20_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
