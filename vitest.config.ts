import { defineConfig } from 'vitest/config'

const outside = ['**/node_modules/**', '**/dist/**']
/** A default import of a CommonJS package means the same in a test as in a program run by Node. */
const deps = { interopDefault: false }
/** Files of one project share a process: reading the same modules again for each of 200 files took minutes. */
const isolate = false

/** Pure tests, those against a real API server, stories on a real cluster, the kill matrix, and stories on a node in a virtual machine. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          deps,
          include: ['**/*.test.ts'],
          exclude: [
            ...outside,
            ...['api', 'story', 'kill', 'vm'].map((kind) => `**/*.${kind}.test.ts`),
          ],
          testTimeout: 20_000,
          // Two processors are half idle with two files at a time: most of the time is spent waiting for processes.
          maxWorkers: 3,
          isolate,
          // Real processes are killed and begun here, three files at a time: once more, and the report says so.
          retry: 1,
        },
      },
      {
        test: {
          name: 'integration',
          deps,
          include: ['**/*.api.test.ts'],
          exclude: outside,
          testTimeout: 60_000,
          // A machine that stands still for seconds upsets bounds in real time: once more, and the report says so.
          retry: 1,
          hookTimeout: 120_000,
          // Each worker has an API server: what one file starts would see what another one makes. More than one beside two
          // of the stories is more than two processors can do in time.
          maxWorkers: 1,
          isolate,
          globalSetup: ['test-e2e/setup/api-server.ts'],
        },
      },
      {
        test: {
          name: 'e2e',
          deps,
          include: ['test-e2e/stories/**/*.story.test.ts'],
          exclude: outside,
          testTimeout: 240_000,
          // Bounds in real time on a machine that may be busy: once more, and the report says so.
          retry: 2,
          hookTimeout: 300_000,
          // Each has a cluster, for what a file kills must be shared with no other. One that the developer names is alone.
          maxWorkers: process.env['CHAOSPLANE_CONTEXT'] ? 1 : 2,
          isolate,
          globalSetup: ['test-e2e/setup/installed-cluster.ts'],
        },
      },
      {
        test: {
          name: 'kill',
          deps,
          include: ['test-e2e/kill/**/*.kill.test.ts'],
          exclude: outside,
          testTimeout: 400_000,
          // Bounds in real time on a machine that may be busy: once more, and the page says so.
          retry: 1,
          hookTimeout: 300_000,
          fileParallelism: false,
          globalSetup: ['test-e2e/setup/installed-crash-points.ts'],
        },
      },
      {
        test: {
          name: 'vm',
          deps,
          include: ['test-e2e/stories-vm/**/*.vm.test.ts'],
          exclude: outside,
          // A processor without KVM is a slow one, and a boot is part of many a story.
          testTimeout: 400_000,
          retry: 1,
          hookTimeout: 300_000,
          fileParallelism: false,
          globalSetup: ['test-e2e/setup/installed-machine.ts'],
        },
      },
    ],
  },
})
