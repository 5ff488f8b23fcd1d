//go:build tools

// Package tools pins the programs that the local cluster is built from.
package tools

import (
	_ "helm.sh/helm/v4/cmd/helm"
)
