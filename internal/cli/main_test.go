package cli

import (
	"os"
	"testing"
)

// asCommand, in the environment, makes the test binary the hrm command: the tests of several processes start it.
const asCommand = "HRM_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(Main(append([]string{"hrm"}, os.Args[1:]...), "test", os.Stdin, os.Stdout, os.Stderr))
	}
	code := m.Run()
	if controlPlane.env != nil {
		_ = controlPlane.env.Stop()
	}
	_ = os.RemoveAll(sharedModel.dir)
	os.Exit(code)
}
