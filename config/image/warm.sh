#!/bin/sh
# Fills Node's compile cache. Started without settings (the demo: with a command that it does not know), each
# program loads its code and ends by itself.
set -u
cache=/var/cache/node
mkdir -p $cache && chown 65532:65532 $cache
work=$(mktemp -d) && chmod 777 "$work" && cd "$work" || exit 1

# load NAME USER ARGUMENTS: the cache is kept per user id, and the fault program runs as root
load() {
  name=$1 user=$2
  shift 2
  timeout 60 setpriv --reuid="$user" --regid="$user" --clear-groups \
    env -i "PATH=$PATH" NODE_COMPILE_CACHE=$cache node "/app/$name.cjs" "$@" </dev/null >"$name" 2>&1
  # it was ended, and what it had compiled is lost
  [ $? -lt 124 ] || cat "$name" >&2
}
load operator 65532 &
load runner 65532 &
load server 65532 &
load demo 65532 nothing &
load fault-pod 0 &
wait
cd / && rm -rf "$work"

kept=$(find $cache -type f | wc -l) programs=$(ls /app/*.cjs | wc -l)
if [ "$kept" -ne "$programs" ]; then
  echo "the compile cache holds $kept of $programs programs; is a new one missing in warm.sh?" >&2
  exit 1
fi
