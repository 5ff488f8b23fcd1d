package needs

import (
	"errors"
	"strings"
	"testing"
)

// outcome records how a test ends.
type outcome struct {
	testing.TB
	how string
}

func (o *outcome) Helper()      {}
func (o *outcome) Fatal(...any) { o.how += "fatal " }
func (o *outcome) Skip(...any)  { o.how += "skip " }

func TestMissing_hidesNoGapWhereAllIsChecked(t *testing.T) {
	for ci, want := range map[string]string{"true": "fatal", "": "skip"} {
		t.Setenv("CI", ci)
		var o outcome
		Missing(&o, errors.New("no numpy"))
		if !strings.HasPrefix(o.how, want) {
			t.Errorf("CI=%q: %s, want %s", ci, o.how, want)
		}
	}
}
