import { spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stressCommand } from './commands.ts'

/** A wall clock for one process and its children: CLOCK_JUMP names a file with the seconds that it is off, and a count of reads since. */
const liar = `
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *jump;
__attribute__((constructor)) static void begin(void) {
  int fd = open(getenv("CLOCK_JUMP"), O_RDWR);
  jump = mmap(0, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}
static long off(void) { return jump[0] == 0 ? 0 : (jump[1]++, jump[0]); }
int clock_gettime(clockid_t id, struct timespec *t) {
  int answer = syscall(SYS_clock_gettime, id, t);
  if (id == CLOCK_REALTIME) t->tv_sec += off();
  return answer;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  int answer = syscall(SYS_gettimeofday, t, zone);
  t->tv_sec += off();
  return answer;
}
time_t time(time_t *out) {
  struct timeval t;
  gettimeofday(&t, 0);
  if (out) *out = t.tv_sec;
  return t.tv_sec;
}
`
const compiler = spawnSync('gcc', ['--version']).status === 0
const here = compiler && spawnSync('stress-ng', ['--version']).status === 0

describe.skipIf(!here)('the limit that the stressor carries itself', () => {
  const folder = mkdtempSync(join(tmpdir(), 'clock-'))
  const library = join(folder, 'liar.so')
  beforeAll(() => {
    const args = ['-shared', '-fPIC', '-O2', '-x', 'c', '-', '-o', library]
    const { status, stderr } = spawnSync('gcc', args, { input: liar, encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it.concurrent.each([
    ['an hour back', -3600, 50],
    ['an hour forward', 3600, 50],
    ['an hour back, at full load', -3600, 100],
  ])('holds when the wall clock jumps %s', async (_name, seconds, loadPercent) => {
    const file = join(folder, `${seconds}-${loadPercent}`)
    const fd = openSync(file, 'w+')
    writeSync(fd, Buffer.alloc(16), 0, 16, 0)
    const [program, ...args] = stressCommand({ workers: 1, loadPercent, timeoutS: 2 })
    const env = { PATH: process.env['PATH'], LD_PRELOAD: library, CLOCK_JUMP: file }
    const begun = performance.now()
    const stress = spawn(program, args, { env, stdio: 'ignore' })
    const ended = new Promise((resolve) => stress.on('exit', resolve))
    await sleep(800)
    const offset = Buffer.alloc(8)
    offset.writeBigInt64LE(BigInt(seconds))
    writeSync(fd, offset, 0, 8, 0)
    const late = setTimeout(() => stress.kill('SIGKILL'), 12_000)
    await ended
    clearTimeout(late)
    closeSync(fd)
    const tookMs = performance.now() - begun
    // it did read the clock that had jumped
    expect(readFileSync(file).readBigInt64LE(8)).toBeGreaterThan(0n)
    expect(tookMs).toBeGreaterThan(1900)
    expect(tookMs).toBeLessThan(5000)
  })
})
