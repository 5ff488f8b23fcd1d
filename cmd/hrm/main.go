// Command hrm trains Hierarchical Reasoning Models, prepares their data, and looks after their checkpoints. It is what
// training pods run, and what a laptop runs with the same YAML. Installed as kubectl-hrm it is a kubectl plugin.
package main

import (
	"os"

	"github.com/hrm-operator/hrm-operator/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(cli.Main(os.Args, version, os.Stdin, os.Stdout, os.Stderr))
}
