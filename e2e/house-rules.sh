#!/usr/bin/env bash
# The rules of this repository that no compiler checks.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
fail() { echo "house rule: $*" >&2; failed=1; }

files() { git ls-files --cached --others --exclude-standard '*.rs'; }

while read -r file; do
  lines=$(wc -l <"$file")
  if [ "$lines" -gt 800 ] && ! head -n 5 "$file" | grep -q 'Long because'; then
    fail "$file has $lines lines: find the seam, or say 'Long because …' in its first lines"
  fi
  case $file in
    */tests/* | */tests.rs | */benches/* | */examples/* | */fuzz_targets/*) ;;
    *) head -n 1 "$file" | grep -q '^//!' || fail "$file does not begin with module docs (//!)" ;;
  esac
done < <(files)

while read -r file; do
  fail "$file is named for nothing: name the noun"
done < <(files | grep -E '(^|/)(utils?|common|helpers?|misc|base)(\.rs|/)' || true)
while read -r file; do
  fail "$file: use foo.rs beside foo/"
done < <(files | grep -E '(^|/)mod\.rs$' || true)

banned() { # pattern, reason
  local found
  found=$(files | xargs grep -nE "$1" 2>/dev/null || true)
  if [ -n "$found" ]; then
    echo "$found" >&2
    fail "$2"
  fi
}
banned '#\[ignore' 'no test is skipped'
banned 'fn test_' 'a test is named by the behaviour, without test_'
banned '\b(todo|unimplemented)!\(' 'nothing is left unfinished in the code'

# Words of a dialect, in code, comments, messages and docs, and the field's words for them.
dialect() { # pattern, what to say instead
  local found
  found=$(git ls-files --cached --others --exclude-standard \
    '*.rs' '*.md' '*.sh' '*.yaml' '*.json' '*.sql' '*.py' '*.go' |
    grep -vx "e2e/house-rules.sh" |
    xargs grep -niE "\b($1)\b" 2>/dev/null || true)
  if [ -n "$found" ]; then
    echo "$found" >&2
    fail "these words have a plainer form: $2"
  fi
}
dialect '(go|goes|going|went) on' 'it resumes, continues, or advances'
dialect '(give|gives|giving|given|gave) up' 'it is abandoned, aborted, or released'
dialect 'told|tells' 'it reports, shows, or says; it is distinguished'
dialect 'heeds?|heeded' 'it handles, or records'
dialect 'anew' 'again, or a verb with re-'
dialect 'without a word' 'it reports nothing, or crashes'
dialect 'comes? to nothing' 'it fails, or ends'
dialect '(is|are|was|were|be|goes|go|went) away' 'it is down, does not answer, or has an outage'

exit $failed
