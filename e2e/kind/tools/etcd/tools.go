//go:build tools

// Package tools pins what programs.sh builds in this folder.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
)
