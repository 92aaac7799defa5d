#!/bin/sh
# The guard of a fault pod: undoes what the fault program can no longer undo.
# It runs the undo files of the journal when the program's end of the FIFO closes (it died), when it finds
# them open and no program that lives, one second after a TERM, and one second after the program's own
# deadline (a stopped program closes nothing).
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
  until [ -e "$memory-claim" ]; do
    if command exec 3<"$memory-bell" 2>/dev/null; then exec 3<&-; else sleep 0.2; fi
  done
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

# The undo file that is due first and that the guard has not run yet, as `<ms since boot> <file>`.
first_due() {
  for f in "$J"/go-*.sh; do
    [ -e "$f" ] || continue
    grep -qs "^${f##*/} " "$J/guard.log" && continue
    sed -n "s|^#guard-at \\(.*\\)|\\1 $f|p" "$f"
  done | sort -n | head -n 1
}

# Sleeps until each undo file is due, then runs it; a file that the program has removed is not run.
watch_deadline() {
  [ -z "$alarm" ] || kill "$alarm" 2>/dev/null
  (
    while :; do
      due=$(first_due)
      [ -n "$due" ] || exit 0
      wait_ms=$((${due%% *} - $(boot_ms)))
      [ "$wait_ms" -le 0 ] || sleep "$((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))"
      undo deadline "${due#* }" || sleep 1
    done
  ) 3<&- &
  alarm=$!
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

# Undoes what no program looks after. One that lives but has not reached us is only slow: the alarm bounds it.
undo_absent() {
  sleep 1
  while lives; do sleep 0.2; done
  undo absent "$J"/go-*.sh
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
while :; do
  # something is open although no program has reached us yet
  absent=
  if ls "$J"/go-*.sh >/dev/null 2>&1; then
    undo_absent &
    absent=$!
    watch_deadline
  fi
  # Blocks until a program opens the other end. `command`: a signal breaks it off, which must not end this shell
  # before its trap has run.
  until command exec 3<"$fifo" 2>/dev/null; do
    sleep 0.2
    make_fifo
  done
  [ -z "$absent" ] || kill "$absent" 2>/dev/null
  watch_deadline
  said=
  while read -r said <&3; do
    case $said in
      quit) leave ;;
      go) watch_deadline ;;
    esac
  done
  exec 3<&-
  [ -d "$J" ] || leave
  [ -e "$J/closed" ] && leave
  foreign && continue
  undo eof "$J"/go-*.sh
done
