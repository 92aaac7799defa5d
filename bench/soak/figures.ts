import type { Outcome } from './one.ts'

/** Verdicts by fault and by who was killed, as a table. */
export function verdictTable(outcomes: Outcome[]): string {
  const by = (name: (outcome: Outcome) => string): string[] => {
    const names = [...new Set(outcomes.map(name))].toSorted()
    return names.map((of) => {
      const own = outcomes.filter((outcome) => name(outcome) === of)
      const verdicts = [...new Set(own.map(({ verdict }) => verdict))].toSorted()
      const counts = verdicts.map((v) => `${v} ${own.filter((o) => o.verdict === v).length}`)
      return `  ${of.padEnd(28)} ${String(own.length).padStart(4)}   ${counts.join(', ')}`
    })
  }
  const victim = ({ planned, killed }: Outcome): string => {
    if (!planned.kill) return 'nobody killed'
    return killed ? `${planned.kill.victim} killed` : `${planned.kill.victim}: was over already`
  }
  return ['by fault', ...by(({ planned }) => planned.fault), 'by victim', ...by(victim)].join('\n')
}

/** Reasons of those that did not pass, with how often; where names and numbers differ it is the same reason. */
export function reasonLines(outcomes: Outcome[]): string[] {
  const count = new Map<string, number>()
  for (const { verdict, reason, planned, killed } of outcomes) {
    if (verdict === 'Pass') continue
    const why = reason.replaceAll(/soak-\S+|\d+/g, '…').slice(0, 160)
    const who = killed ? `${planned.kill?.victim} killed` : 'nobody killed'
    const line = `${verdict}, ${planned.fault}, ${who}: ${why}`
    count.set(line, (count.get(line) ?? 0) + 1)
  }
  return [...count].toSorted(([, a], [, b]) => b - a).map(([line, n]) => `  ${n} × ${line}`)
}
