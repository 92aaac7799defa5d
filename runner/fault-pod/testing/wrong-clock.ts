import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

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

export const hasCompiler = spawnSync('gcc', ['--version']).status === 0

/** Makes the library that stands between a program and its wall clock. */
export function buildWrongClock(library: string): void {
  const args = ['-shared', '-fPIC', '-O2', '-x', 'c', '-', '-o', library]
  const { status, stderr } = spawnSync('gcc', args, { input: liar, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

/** The wall clock of one program and its children, right until it jumps. */
export class WrongClock {
  readonly env: Record<string, string>
  readonly #file: string

  constructor(library: string, file: string) {
    this.#file = file
    this.env = { LD_PRELOAD: library, CLOCK_JUMP: file }
    writeFileSync(file, Buffer.alloc(16))
  }

  jump(seconds: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(seconds))
    // in place: the program has it mapped
    writeFileSync(this.#file, bytes, { flag: 'r+' })
  }

  /** how often it was read since it jumped */
  get reads(): number {
    return Number(readFileSync(this.#file).readBigInt64LE(8))
  }
}
