#!/usr/bin/env bash
# Write the lock files anew: requirements/lock.sh [uv option ...], for example --upgrade.
# Each lock holds exact versions with hashes for Python 3.11 and later; what pyproject.toml and build.in say is the source.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  local name=$1
  shift
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --output-file "requirements/$name.txt" "$@"
}
compile build requirements/build.in "$@"
compile run pyproject.toml --extra sim --extra files --constraint requirements/build.txt "$@"
compile dev pyproject.toml --extra dev --constraint requirements/build.txt --constraint requirements/run.txt "$@"
compile docs pyproject.toml --extra docs --constraint requirements/build.txt --constraint requirements/run.txt --constraint requirements/dev.txt "$@"
compile timing pyproject.toml --extra boards --constraint requirements/build.txt --constraint requirements/run.txt "$@"
