import type { Feature } from './features.ts'

/** What the stories of warm pods stand for. */
export const warmFeatures: Feature[] = [
  {
    name: 'the order of a warm pod is kept',
    without: 'a program that is started again in place has forgotten what it worked for',
    edits: [
      {
        file: 'runner/fault-pod/warm.ts',
        from: "    this.#put('order', JSON.stringify(given))\n",
        to: '    JSON.stringify(given)\n',
      },
    ],
    stories: [
      {
        file: 'deaths/warm',
        titles: ['program and guard killed in it: clean in time'],
      },
    ],
  },
  {
    name: 'warm pods are claimed',
    without: 'every run makes a pod of its own, whatever waits there',
    edits: [
      {
        file: 'runner/hands/node-pods.ts',
        from: 'attempt === 1 ? await',
        to: 'attempt === 0 ? await',
      },
    ],
    stories: [
      {
        file: 'deaths/warm',
        titles: [
          'the next run takes it, and leaves another one',
          'a run takes it out of the set, and the set makes another one',
        ],
      },
    ],
  },
  {
    name: 'unwanted warm pods are taken away',
    without: 'what an earlier setting has left stays until it ends by itself',
    edits: [
      {
        file: 'runner/hands/warm-pods.ts',
        from: "if (mode === 'idle' && isOurs",
        to: 'if (isOurs',
      },
    ],
    stories: [
      {
        file: 'deaths/warm',
        titles: ['nothing is left when warm pods are not wanted any more'],
      },
    ],
  },
]
