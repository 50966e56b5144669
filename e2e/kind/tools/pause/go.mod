module eddyline/e2e/kind/tools/pause

go 1.24.0
