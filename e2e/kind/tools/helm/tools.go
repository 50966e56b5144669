//go:build tools

// Package tools pins what programs.sh builds in this folder.
package tools

import (
	_ "helm.sh/helm/v3/cmd/helm"
)
