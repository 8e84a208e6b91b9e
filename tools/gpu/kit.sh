# Sourced by the calls: runs steps, each under a time limit and with its output in a file, whatever the last one did, and prints a
# table of results before `deadline`, in seconds. The folder for the files is the call's argument, else OUT, else out/gpu.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=$(realpath -m "${1:-${OUT:-out/gpu}}")
mkdir -p "$out"
work=$(mktemp -d)
call=$(basename "$0")
export PARTSTAD_TEST_GPU=real ORT_DYLIB_PATH="$PWD/lib/libonnxruntime.so" RUST_BACKTRACE=0 PYTHONUNBUFFERED=1
# Where a container may have its driver, beside where the loader looks.
for driver in /usr/local/nvidia/lib64 /usr/local/nvidia/lib; do
  [ -d "$driver" ] && export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$driver"
done
# Keeps the driver loaded where nothing else does. No step: nobody waits for it.
nvidia-smi --loop=60 >/dev/null 2>&1 &
watch=$!
disown
trap 'kill "$watch" 2>/dev/null' EXIT
count=0
# Of a rehearsal on the emulated driver (tools/gpu/rehearse): how many times fewer points, and more time.
rehearsal=${REHEARSAL:-1}
points() {
  local fewer=$(($1 / rehearsal))
  echo $((rehearsal > 1 && fewer > 4000 ? 4000 : fewer))
}

# FILE SECONDS NAME COMMAND...: output goes to FILE.txt.
run() {
  local number file=$1 limit=$(($2 * rehearsal)) name=$3 begin=$SECONDS status
  number=$(printf %02d "$count")
  shift 3
  local left=$((deadline * rehearsal - SECONDS))
  if [ "$left" -lt 5 ]; then
    echo "$name|left out|0|no time was left" >"$work/$number.row"
    return 1
  fi
  [ "$limit" -le "$left" ] || limit=$left
  {
    printf '\n== %s (at most %s s): %s\n' "$name" "$limit" "$*"
    timeout --kill-after=5 "$limit" "$@"
    printf 'exit status %s\n' "$?"
  } 2>&1 | tee "$work/$number.log" >>"$out/$file.txt"
  status=$(sed -n '$s/^exit status //p' "$work/$number.log")
  echo "$name|${status:-killed}|$((SECONDS - begin))|$(summary "$work/$number.log")" >"$work/$number.row"
  printf '%4d s: %s: %s\n' "$SECONDS" "$name" "${status:-killed}"
  [ "${status:-1}" = 0 ]
}
step() {
  count=$((count + 1))
  run "$@"
}
# The same beside others; `wait` waits for all.
aside() {
  count=$((count + 1))
  run "$@" &
}

# What a step's output says in short.
summary() {
  awk '
    /^test result:/ { tests = 1; passed += $4; failed += $6 }
    /^-- [a-z_]+: exit status [1-9]/ { bad = bad " " $2 " " $5 }
    /ERROR SUMMARY:/ { tools++; errors += $4 }
    /RACECHECK SUMMARY:/ { tools++; errors += $4 }
    /^\| superpoints \|/ { text = text "superpoints " $6 " ms on the device; " }
    /^result: / { text = text substr($0, 9) "; " }
    /^error: / { if (panic == "") panic = $0 }
    /panicked at/ { getline; if (panic == "") panic = $0 }
    /time: +\[/ { text = text $0 "; " }
    END {
      if (tests) text = text passed " passed, " failed " failed; "
      if (tools) text = text errors " errors in " tools " processes; "
      if (bad != "") text = text "failed:" bad " "
      if (panic != "") text = text panic
      gsub(/\|/, "/", text); gsub(/ +/, " ", text)
      print substr(text, 1, 300)
    }' "$1"
}

# The table, printed and kept; the call succeeds if all steps did.
table() {
  wait
  {
    echo "## $call, $(date -u +%F), commit $(head -n 1 commit 2>/dev/null || git log -1 --format=%H)"
    printf '\n| step | exit status | seconds | result |\n|---|---|---|---|\n'
    sed 's/|/ | /g; s/^/| /; s/$/ |/' "$work"/*.row
    printf '\n%s s in all.\n' "$SECONDS"
  } | tee "$out/$call.md"
  local failed
  failed=$(cut -d '|' -f 2 "$work"/*.row | grep -cvx 0)
  rm -rf "$work"
  exit $((failed > 0))
}
