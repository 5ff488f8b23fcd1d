//go:build tools

// Package tools pins the programs that generate and check code.
package tools

import (
	_ "sigs.k8s.io/controller-tools/cmd/controller-gen"
)
