// Package needs says what becomes of a test that wants what a machine may lack.
package needs

import (
	"os"
	"testing"
)

// Missing skips a test because of err, which says what is missing and how to get it; where CI is set to true the test fails, so
// that no gap is hidden there.
func Missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}
