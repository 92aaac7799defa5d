#!/bin/sh
# Fills Node's compile cache. Started without settings, each program loads its code and ends by itself.
# The cache is kept per user id: the fault program runs as root, all others do not.
set -u
cache=/var/cache/node
mkdir -p $cache && chown 65532:65532 $cache
work=$(mktemp -d) && chmod 777 "$work" && cd "$work" || exit 1
for program in /app/*.mjs; do
  [ -f "$program" ] || continue
  timeout 2 setpriv --reuid=65532 --regid=65532 --clear-groups \
    env -i "PATH=$PATH" NODE_COMPILE_CACHE=$cache node "$program" </dev/null >/dev/null 2>&1 &
done
if [ -f /app/fault-pod.cjs ]; then
  timeout 2 env -i "PATH=$PATH" NODE_COMPILE_CACHE=$cache node /app/fault-pod.cjs </dev/null >/dev/null 2>&1 &
fi
wait
cd / && rm -rf "$work"
