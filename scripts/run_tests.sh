#!/usr/bin/env bash
# Runs the style checks and the tests, in the project's own environment.
#   bash scripts/run_tests.sh [pytest options]
set -euo pipefail
source "$(dirname -- "$0")/common.sh"

ensure_environment dev
cd -- "$PROJECT_ROOT"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
exec "$PYTHON" -m pytest "$@"
