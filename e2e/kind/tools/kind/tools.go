//go:build tools

// Package tools pins what programs.sh builds in this folder.
package tools

import (
	_ "sigs.k8s.io/kind"
)
