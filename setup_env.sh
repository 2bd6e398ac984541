# Sourced by run_record.sh and run_tests.sh: setup_env EXTRA… makes .venv hold the harness with these extras.
# A stamp remembers what was installed, so that a second start costs a few milliseconds.

fail() { printf 'speedrun: %s\n' "$*" >&2; exit 2; }

find_python() {
  local candidate
  for candidate in "${SPEEDRUN_PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer is needed and none was found; install it (on Debian: apt install python3 python3-venv) or set SPEEDRUN_PYTHON"
}

# The version that a Python has, like 3.12; nothing where there is none that the harness can use.
version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2] if sys.version_info >= (3, 11) else "")' 2>/dev/null || true
}

setup_env() {
  local extra extras="" python log want stamp=.venv/speedrun-installed wanted="" made=""
  for extra in "$@"; do extras="${extras:+$extras,}$extra"; done
  # Who names a Python wants that one and no other, and .venv made anew where it was made with another.
  if [ -n "${SPEEDRUN_PYTHON:-}" ]; then
    wanted="$(version_of "$SPEEDRUN_PYTHON")"
    [ -n "$wanted" ] || fail "SPEEDRUN_PYTHON: $SPEEDRUN_PYTHON is no Python 3.11 or newer that starts here; name one, or unset it"
    [ ! -x .venv/bin/python ] || made="$(version_of .venv/bin/python)"
    if [ -n "$made" ] && [ "$wanted" != "$made" ]; then
      printf 'speedrun: .venv has Python %s, SPEEDRUN_PYTHON names %s\n' "$made" "$wanted" >&2
      rm -rf .venv
    fi
  fi
  # What decides whether the environment is current: the extras asked for, and the two files that name packages.
  want="$(cksum pyproject.toml constraints.txt | cut -d' ' -f1,2 | tr '\n' ' ')"
  if [ -f "$stamp" ] && [ -x .venv/bin/python ]; then
    local have="" done_extras=""
    { IFS= read -r have && IFS= read -r done_extras; } <"$stamp" || true
    if [ "$have" = "$want" ]; then
      local missing=""
      for extra in "$@"; do [[ ",$done_extras," == *",$extra,"* ]] || missing=1; done
      [ -n "$missing" ] || return 0
      for extra in ${done_extras//,/ }; do [[ ",$extras," == *",$extra,"* ]] || extras="$extras,$extra"; done
    fi
  fi
  python="$(find_python)" || exit 2
  printf 'speedrun: setting up .venv (torch is the largest part; this takes a minute or more, once)\n' >&2
  log="$(mktemp)"
  # An earlier, interrupted attempt may have left half an environment.
  if [ ! -x .venv/bin/pip ]; then
    rm -rf .venv
    "$python" -m venv .venv >"$log" 2>&1 || explain "$log" "the virtual environment cannot be made"
  fi
  rm -f "$stamp"
  .venv/bin/pip install --disable-pip-version-check --quiet --editable ".[$extras]" --constraint constraints.txt \
    >"$log" 2>&1 || explain "$log" "the packages cannot be installed"
  printf '%s\n%s\n' "$want" "$extras" >"$stamp"
  rm -f "$log"
}

# Say in one sentence why a set-up step failed; its whole output stays in a file.
explain() {
  local log="$1" what="$2" kept=.venv-setup.log free_mb
  cp "$log" "$kept" 2>/dev/null || kept="$log"
  # venv hides why its own pip could not be written, so the free space is asked for too.
  free_mb="$(df -Pm . | awk 'NR == 2 { print $4 }')"
  if [ "${free_mb:-9999}" -lt 100 ] || grep -qiE 'no space left|disk quota' "$log"; then
    fail "$what: the disk is full ($free_mb MB free); free about 3 GB and start again (details: $kept)"
  elif grep -qiE 'ensurepip is not available|no module named (venv|ensurepip)' "$log"; then
    fail "$what: Python's venv module is missing; on Debian or Ubuntu: apt install python3-venv (details: $kept)"
  elif grep -qiE 'connection|network|resolve|retrying|timed out|no matching distribution' "$log"; then
    fail "$what: the package registry cannot be reached; check the network or pip's settings (details: $kept)"
  fi
  fail "$what; the reason is in $kept"
}
