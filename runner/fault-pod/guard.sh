#!/bin/sh
# The guard of a fault pod: undoes what the fault program can no longer undo.
# It runs the undo files of the journal when the program's end of the FIFO closes (it died), one second after a TERM,
# and by a watch that does not depend on the FIFO, as the program may never have reached it: when no program lives
# that looks after the journal, and one second after the program's own deadline (a stopped program closes nothing).
# The program of another pod may look after the journal by then: what that one holds is left alone.
# CHAOSPLANE_JOURNAL: the journal's folder on the host. CHAOSPLANE_HOST_ROOT: where the host's files begin.
# CHAOSPLANE_ATTEMPT: which pod of this node and task we belong to.
# CHAOSPLANE_WARM_MS: set in a pod that has no order yet. Both come from its program then, by way of the pod's shared
# memory (warm.ts); until they are there nothing of the host is looked at.
umask 077

if [ -n "${CHAOSPLANE_WARM_MS+set}" ]; then
  memory=${CHAOSPLANE_SHM:-/dev/shm}/chaosplane
  # Where kubelet starts whatever ends again: this one was sent home.
  if [ -e "$memory-guard-ended" ]; then
    trap 'exit 0' TERM INT
    while :; do sleep 3600 & wait; done
  fi
  trap 'exit 0' TERM INT
  [ -p "$memory-bell" ] || mkfifo -m 600 "$memory-bell"
  # A program that died between its word and its ring has left us at a FIFO that nobody opens any more.
  (
    until [ -e "$memory-claim" ]; do sleep 1; done
    : >"$memory-bell"
    exec sleep 2147483647
  ) &
  ringer=$!
  until [ -e "$memory-claim" ]; do
    if command exec 3<"$memory-bell" 2>/dev/null; then exec 3<&-; else sleep 0.2; fi
  done
  kill "$ringer" 2>/dev/null
  read -r CHAOSPLANE_JOURNAL CHAOSPLANE_ATTEMPT <"$memory-claim"
  [ "$CHAOSPLANE_JOURNAL" != none ] || exit 0
  trap - TERM INT
fi

if [ -z "${CHAOSPLANE_HOST_ROOT+set}" ]; then
  for p in 1 "$PPID"; do
    r=/proc/$p/root
    if [ -e "$r/sys/fs/cgroup/cgroup.procs" ] || [ -e "$r/sys/fs/cgroup/cpu" ]; then CHAOSPLANE_HOST_ROOT=$r; break; fi
  done
fi
[ -n "${CHAOSPLANE_HOST_ROOT+set}" ] || { echo "guard: the host's files cannot be reached; hostPID and SYS_PTRACE are needed" >&2; exit 1; }
CHAOSPLANE_HOST=$CHAOSPLANE_HOST_ROOT
export CHAOSPLANE_HOST
J=$CHAOSPLANE_HOST_ROOT$CHAOSPLANE_JOURNAL
attempt=${CHAOSPLANE_ATTEMPT:-1}
# of our own: each pod's guard hears its own program
fifo=$J/guard-$attempt
alarm=

# $1: why, then undo files. Tries for ten seconds: a process may need a moment to die, and a shell
# may be just about to move into the target, so three rounds without a rest are needed.
undo() {
  why=$1
  shift
  # Who is killed between the undo and its note has said at least when it began.
  at=$(date +%s.%N)
  for f; do
    [ ! -e "$f" ] || grep -qs "^${f##*/} " "$J/guard-begun.log" || echo "${f##*/} $why $at" >>"$J/guard-begun.log"
  done 2>/dev/null
  round=0
  while [ "$round" -lt 40 ]; do
    owed=
    for f; do
      [ -e "$f" ] || continue
      if sh "$f"; then
        name=${f##*/}
        grep -qs "^$name " "$J/guard.log" || echo "$name $why $(date +%s.%N)" >>"$J/guard.log"
      else
        owed=1
      fi
    done
    round=$((round + 1))
    [ -z "$owed" ] && [ "$round" -ge 3 ] && return 0
    if [ "$round" -lt 3 ]; then sleep 0.05; else sleep 0.25; fi
  done
  echo "guard: something is left; run the files $CHAOSPLANE_JOURNAL/go-*.sh as root on the node" >&2
  return 1
}

# Milliseconds since the node has booted: a wall clock that jumps neither delays nor hastens an undo.
# The 1 in front keeps hundredths such as 09 from being read as octal.
boot_ms() {
  read -r up _ </proc/uptime
  echo $((${up%.*} * 1000 + 1${up#*.}0 - 1000))
}

# True while the journal's owner lives (ownership.ts): the last claim, known by pid, start time (fields 1 and 20 after
# the name in /proc/<pid>/stat are state and start time) and boot. Guards and programs share the host's pids.
lives() {
  claim=
  for f in "$J"/owner-*; do claim=$f; done
  read -r pid start by boot 2>/dev/null <"$claim" || return 1
  read -r this_boot </proc/sys/kernel/random/boot_id
  [ "$boot" = "$this_boot" ] || return 1
  stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  [ "$1" != Z ] && [ "$1" != X ] && [ "${20}" = "$start" ]
}

# True while the program of another pod looks after the journal: it reverts, and may hold something of its own.
foreign() { lives && [ "$by" != "$attempt" ]; }

# True in a shell of the guard that has outlived it (fields 1, 3 and 4 are pid, state and parent).
orphaned() {
  read -r _ _ _ parent _ </proc/self/stat
  [ "$parent" != "$$" ]
}

# Looks after the undo files twice a second, for as long as the guard lives, and after it while there is a journal: one
# that is due, or that nobody looks after any more, is run and noted. One that is noted and still there is run again
# every five seconds: what was on its way into the target when the program died may have come after the undo. Never ends
# before the guard: its pid stays its own.
watch() {
  look=0
  unowned=0
  while [ -d "$J" ] || ! orphaned; do
    look=$((look + 1))
    sleep_ms=500
    any=
    for f in "$J"/go-*.sh; do
      [ -e "$f" ] || continue
      any=1
      if grep -qs "^${f##*/} " "$J/guard.log"; then
        [ $((look % 10)) -ne 0 ] || undo again "$f"
        continue
      fi
      # none: it is not written to its end yet, and nothing was done
      at=$(sed -n 's|^#guard-at ||p' "$f")
      [ -n "$at" ] || continue
      left=$((at - $(boot_ms)))
      if [ "$left" -le 0 ]; then
        undo deadline "$f"
      elif [ "$unowned" -ge 3 ]; then
        undo absent "$f"
      elif [ "$left" -lt "$sleep_ms" ]; then
        sleep_ms=$left
      fi
    done
    if [ -z "$any" ] || lives; then unowned=0; else unowned=$((unowned + 1)); fi
    sleep "$((sleep_ms / 1000)).$(printf %03d $((sleep_ms % 1000)))"
  done
}

leave() {
  [ -z "${CHAOSPLANE_WARM_MS+set}" ] || : >"$memory-guard-ended"
  [ -z "$alarm" ] || kill "$alarm" 2>/dev/null
  # a journal without events is only what this guard made while it waited for a program
  [ -e "$J/events.jsonl" ] || { rm -f "$fifo" && rmdir -p "$J"; } 2>/dev/null
  exit 0
}

on_term() {
  trap '' TERM
  sleep 1
  foreign || undo term "$J"/go-*.sh
  leave
}
trap on_term TERM INT

# On a disk that is full the room is taken that is kept for the report.
make_fifo() {
  mkdir -p "$J"
  [ -p "$fifo" ] || mkfifo -m 600 "$fifo" 2>/dev/null || { rm -f "$J/reserve" && mkfifo -m 600 "$fifo"; }
}

make_fifo
watch &
alarm=$!
while :; do
  # Blocks until a program opens the other end. `command`: a signal breaks it off, which must not end this shell
  # before its trap has run.
  until command exec 3<"$fifo" 2>/dev/null; do
    sleep 0.2
    make_fifo
  done
  said=
  while read -r said <&3; do
    [ "$said" != quit ] || leave
  done
  exec 3<&-
  # By way of a process of the host, which may have ended: started anew, the guard finds another way.
  [ -d "$CHAOSPLANE_HOST_ROOT/." ] || exit 1
  [ -d "$J" ] || leave
  [ -e "$J/closed" ] && leave
  foreign && continue
  undo eof "$J"/go-*.sh
done
