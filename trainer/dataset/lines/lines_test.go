package lines

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

func all(r io.Reader, limits Limits) ([]string, error) {
	lines := NewReader("f", r, limits)
	var got []string
	for {
		text, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, string(text))
	}
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReader_readsPlainAndPackedTextAlike(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":             {"", ""},
		"an end":              {"a\nb\n", "a|b"},
		"no end":              {"a\nb", "a|b"},
		"spaces and blanks":   {" a \n\n b\n", " a || b"},
		"from Windows":        {"\xef\xbb\xbfa\r\nb\r\n", "a|b"},
		"as long as it may":   {strings.Repeat("x", 63) + "\n", strings.Repeat("x", 63)},
		"a mark further down": {"a\n\xef\xbb\xbfb", "a|\xef\xbb\xbfb"},
	} {
		for form, text := range map[string]string{"plain": c.text, "gzip": gzipped(t, c.text)} {
			t.Run(name+", "+form, func(t *testing.T) {
				got, err := all(iotest.OneByteReader(strings.NewReader(text)), Limits{1000, 64})
				if err != nil || strings.Join(got, "|") != c.want {
					t.Errorf("got %q and %v", got, err)
				}
			})
		}
	}
}

func TestReader_namesTheLineOfBadData(t *testing.T) {
	packed := gzipped(t, strings.Repeat("some line\n", 20))
	for name, c := range map[string]struct {
		text   string
		line   int
		reason string
	}{
		"a long line":      {"a\n" + strings.Repeat("x", 100), 2, "longer than 64 bytes"},
		"too much":         {strings.Repeat("\n", 2000), 1001, "more than 1000 bytes"},
		"truncated gzip":   {packed[:len(packed)-12], 0, "ends too early"},
		"a gzip header":    {packed[:5], 1, "ends too early"},
		"damaged gzip":     {packed[:12] + "xxxxxxxx" + packed[20:], 0, "damaged"},
		"a wrong checksum": {packed[:len(packed)-8] + "abcd" + packed[len(packed)-4:], 0, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := all(strings.NewReader(c.text), Limits{1000, 64})
			var bad *dataerror.Error
			if !errors.As(err, &bad) || bad.Source != "f" || bad.Line == 0 || (c.line > 0 && bad.Line != c.line) || !strings.Contains(bad.Reason, c.reason) {
				t.Errorf("got %v, want line %d and %q", err, c.line, c.reason)
			}
		})
	}
}

// Half a line that a broken connection leaves behind is not taken for a line.
func TestReader_aBrokenConnectionIsNotBadData(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(errors.New("connection reset")))
	got, err := all(broken, Limits{1000, 64})
	var bad *dataerror.Error
	if err == nil || errors.As(err, &bad) || !strings.Contains(err.Error(), "read f: connection reset") || strings.Join(got, "|") != "a" {
		t.Errorf("got %q and %v", got, err)
	}
}
