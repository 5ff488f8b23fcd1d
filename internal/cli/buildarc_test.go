package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

const arcTestdata = "../../trainer/dataset/arc/testdata/data"

func TestBuildARC(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		// out is wanted in what the command prints, errOut in what it complains of.
		out, errOut string
	}{
		"counts each set": {
			[]string{"--source", arcTestdata, "--augmentations", "2"}, exitDone,
			"set             tasks    puzzles  to train on     held out\n" +
				"evaluation          3          9           30           12\n" +
				"training            3          9           51            0\n" +
				"all                 6         18           81           12\n", "",
		},
		"chooses sets and adds collections": {
			[]string{"--source", arcTestdata + "#evaluation", "--add", arcTestdata + "/training", "--add", arcTestdata + "#training"}, exitDone,
			"9 tasks read, 3 of them twice; 7 identifiers", "",
		},
		"wants a source":                     {nil, exitUsage, "", "--source is required"},
		"refuses too many augmentations":     {[]string{"--source", arcTestdata, "--augmentations", "100001"}, exitUsage, "", "from 0 to 100000"},
		"refuses a subsample of nothing":     {[]string{"--source", arcTestdata, "--subsample", "0"}, exitUsage, "", "at least 1"},
		"bad data has a code of its own":     {[]string{"--source", arcTestdata + "#none"}, exitData, "", "no set none here"},
		"a fraction must be one":             {[]string{"--source", arcTestdata + "#training", "--test-fraction", "x"}, exitUsage, "", "--test-fraction"},
		"and is checked even if nobody asks": {[]string{"--source", arcTestdata, "--test-fraction", "1"}, exitUsage, "", "--test-fraction"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			args := append([]string{"hrm", "data", "build", "arc", "--out", t.TempDir()}, c.args...)
			code := run(context.Background(), args, "test", strings.NewReader(""), &out, &errOut)
			if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errOut.String(), c.errOut) {
				t.Errorf("ended with %d\n%s%s", code, &out, &errOut)
			}
		})
	}
}
