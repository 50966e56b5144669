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

# Everything that people have written, except this file and the descriptions that are Kubernetes' own.
texts() {
  git ls-files --cached --others --exclude-standard '*.rs' '*.md' '*.sh' '*.yaml' '*.json' '*.sql' '*.py' '*.go' |
    grep -vE '^(e2e/house-rules.sh|config/crd/.*|charts/eddyline/templates/crds/.*)$'
}

# Words of a dialect, in code, comments, messages and docs, and the field's words for them.
dialect() { # pattern, what to say instead
  local found
  found=$(texts | xargs grep -niE "\b($1)(\b|$)" 2>/dev/null || true)
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
dialect 'any more' 'no longer'
dialect '(take|takes|taken|took|taking) back' 'it is canceled, rolled back, removed, or reverted'
dialect 'once more' 'again'
dialect '(on|in) (its|their) way|under way' 'it is in flight, or in progress'
dialect '(is|are|was|were) not there' 'it does not exist, is missing, or is not supported'
dialect '(hold|holds|holding|held) up' 'it delays, slows down, or blocks'
dialect '(let|lets|letting) go' 'it releases, or removes'
dialect '(run|runs) on[,;]' 'it keeps running'
dialect '(read|reads) on[,;]' 'it keeps reading'
dialect 'again and again' 'repeatedly'
dialect 'the whole story' 'the details'
dialect '(stand|stands|stood) (in|at|before|behind|beside)' 'it is in, at, before, after, or beside'
dialect 'not to be had' 'it cannot be pulled, read, or found'

# A word that is there twice.
twice=$(texts | xargs grep -nwE '(the the|a an|an a|of of|is is|to to|in in|and and|it it|for for|on on|with with|by by|be be|are are|not not|from from|has has)' || true)
if [ -n "$twice" ]; then
  echo "$twice" >&2
  fail 'these have a word too many'
fi

# Abbreviations that not everybody reads in the same way.
short=$(texts | xargs grep -nE '(^|[ (])(e\.g\.|i\.e\.|etc\.|w\.r\.t\.|cf\.)' || true)
if [ -n "$short" ]; then
  echo "$short" >&2
  fail 'write it out: for example, that is, and so on'
fi

# A sentence that users read has at most 35 words: in the pages, in descriptions of fields, in values of the chart, and in
# messages. Code counts as one word, and a colon or semicolon ends a sentence.
long=$(
  files | grep -vE '(^|/)(tests?|benches|examples|scenarios|testing)(/|\.rs$)' | cat - <(git ls-files '*.md' 'charts/*/values.yaml' ':!docs/benchmarks.md') | sort |
    xargs awk '
      function sentences(text,    parts, words, count, at) {
        gsub(/`[^`]*`/, "x", text)
        gsub(/\]\([^)]*\)/, "", text)
        gsub(/[.!?;:|] +|\\n/, "&\n", text)
        count = split(text, parts, "\n")
        for (at = 1; at <= count; at++)
          if (split(parts[at], words, " ") > 35) print place ": " parts[at]
      }
      function flush() { if (text != "") sentences(text); text = "" }
      function add(more) { if (text == "") place = FILENAME ":" FNR; text = text " " more }
      FNR == 1 { flush(); code = 0; string = 0 }
      FILENAME ~ /\.md$/ {
        if ($0 ~ /^ *```/) { flush(); code = !code; next }
        if (code) next
        if ($0 ~ /^ *$|^ *[-*#|] *|^ *[0-9]+\. / || $0 ~ /^\|/) flush()
        if ($0 !~ /^ *$/) add($0)
        next
      }
      FILENAME ~ /\.yaml$/ { if ($0 ~ /^ *#/) add($0); else flush(); next }
      FILENAME ~ /^crds\// && /^ *\/\/\/ / { sub(/^ *\/\/\/ /, ""); add($0); next }
      /^ *\/\// { next }
      string { line = $0; sub(/^ */, "", line); string = line ~ /\\$/; sub(/(\\|".*)$/, "", line); text = text line; if (!string) flush(); next }
      /"[^"]*\\$/ { flush(); line = $0; sub(/^[^"]*"/, "", line); sub(/\\$/, "", line); add(line); string = 1; next }
      { flush(); rest = $0; while (match(rest, /"[^"]+"/)) { add(substr(rest, RSTART + 1, RLENGTH - 2)); flush(); rest = substr(rest, RSTART + RLENGTH) } }
      END { flush() }
    '
)
if [ -n "$long" ]; then
  echo "$long" >&2
  fail 'these sentences are too long: one condition a sentence'
fi

exit $failed
