import type { Feature } from './features.ts'

const inSafety = (...titles: string[]): Feature['stories'] => [{ file: 'safety', titles }]

/** What the stories of safety stand for. */
export const safetyFeatures: Feature[] = [
  {
    name: 'protected namespaces',
    without: 'a label on a namespace is not heeded',
    edits: [
      {
        file: 'model/protection.ts',
        from: '  if (rules.isLabelled(namespace))\n',
        to: '  if (namespace === "" && rules.isLabelled(namespace))\n',
      },
    ],
    stories: inSafety('a namespace with the label is not touched, and the refusal names the field'),
  },
  {
    name: 'dry runs',
    without: 'the annotation is not heeded, and the run is carried out',
    edits: [
      {
        file: 'runner/run/supervisor.ts',
        from: '    if (isDryRun(object.metadata.annotations)) {\n',
        to: '    if (isDryRun({})) {\n',
      },
    ],
    stories: inSafety(
      'a dry run of a fault on a node: targets, commands, rights; no fault pod, no claim, no slot, no write',
      'a dry run of a deletion deletes nothing',
    ),
  },
  {
    name: 'the kill switch',
    without: 'runs that are under way do not hear it',
    edits: [
      {
        file: 'runner/run/run.ts',
        from: '    if (reason !== null) this.#endEarly(haltedBy(reason))\n',
        to: '    if (reason === "") this.#endEarly(haltedBy(reason))\n',
      },
    ],
    stories: inSafety(
      'the kill switch puts everything back, refuses what is new, and lets it run again when lifted',
    ),
  },
]
