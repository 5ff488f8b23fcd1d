package dataerror

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLimit_refusesWhatIsLonger(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		limit int64
		fails bool
	}{
		"shorter":         {"abc", 4, false},
		"as long":         {"abcd", 4, false},
		"longer by one":   {"abcde", 4, true},
		"much longer":     {strings.Repeat("x", 1<<16), 4, true},
		"nothing allowed": {"a", 0, true},
		"nothing there":   {"", 0, false},
	} {
		for how, wrap := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with the end": iotest.DataErrReader,
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				got, err := io.ReadAll(Limit(wrap(strings.NewReader(c.text)), "f.csv", c.limit))
				var bad *Error
				if errors.As(err, &bad) != c.fails || int64(len(got)) > c.limit || !strings.HasPrefix(c.text, string(got)) {
					t.Errorf("read %d bytes and got %v", len(got), err)
				}
			})
		}
	}
}
