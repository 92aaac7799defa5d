#!/bin/sh
# Brings what the programs of this repository need: packages and Node 24 from the lockfile, and for "test" also
# Debian packages and Kubernetes' own binaries, for "vm" qemu as well. Needs nothing but sh, Node 20 or newer, and npm.
# usage: prepare.sh start|test|vm
set -eu
cd "$(dirname "$0")/../.."
for tool in node npm; do
  command -v $tool >/dev/null || { echo "prepare: $tool is missing; install Node 20 or newer with npm" >&2; exit 1; }
done

packages() {
  # npm writes this file last, so it is older than the lockfile when a pull has changed that.
  if [ -x node_modules/.bin/node ] && [ node_modules/.package-lock.json -nt package-lock.json ]; then return; fi
  echo "prepare: packages and Node 24 (npm ci)"
  npm ci --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
}

if command -v flock >/dev/null; then
  lock="${TMPDIR:-/tmp}/chaosplane-packages-$(id -u).lock"
  exec 9>"$lock"
  flock 9
  packages
  exec 9>&-
else
  packages
fi

PATH="$PWD/node_modules/.bin:$PATH" exec node test-e2e/setup/prepare.ts "$@"
