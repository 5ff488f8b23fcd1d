package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestNPY_headers(t *testing.T) {
	file := func(header, data string) string {
		return fmt.Sprintf("\x93NUMPY\x01\x00%c\x00%s", len(header), header) + data
	}
	for _, c := range []struct{ name, text, want string }{
		{"as numpy writes it", file("{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }   \n", "\x01\x00\xff\xff"), "[1 -1]"},
		{"64 bits", file("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n", "\x07\x00\x00\x00\x00\x00\x00\x00"), "[7]"},
		{"64 bits, too large", file("{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }\n", "\xff\xff\xff\xff\xff\xff\xff\xff"), "does not fit"},
		{"floats", file("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n", "abcd"), "expected little-endian integers"},
		{"big-endian", file("{'descr': '>i4', 'fortran_order': False, 'shape': (1,), }\n", "abcd"), "expected little-endian integers"},
		{"objects", file("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", "abcd"), "expected little-endian integers"},
		{"column order", file("{'descr': '|u1', 'fortran_order': True, 'shape': (1, 1), }\n", "a"), "column order"},
		{"a huge shape", file("{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999, 999999999999), }\n", ""), "too large"},
		{"a large shape without data", file("{'descr': '|u1', 'fortran_order': False, 'shape': (60000000000,), }\n", "x"), "too early"},
		{"code", file("{'descr': __import__('os')}\n", ""), "unknown header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := ReadNPY(strings.NewReader(c.text))
			var v []int32
			if err == nil {
				v, err = a.Int32s()
			}
			got := fmt.Sprint(v)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func FuzzReadNPY(f *testing.F) {
	var b bytes.Buffer
	if err := WriteNPY(&b, []int{2, 3}, []int32{1, 2, 3, 4, 5, 6}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:30])
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ReadNPY(bytes.NewReader(text))
		if err != nil {
			return
		}
		n := 1
		for _, d := range a.Shape {
			n *= d
		}
		if v, err := a.Int32s(); err == nil && len(v) != n {
			t.Fatalf("%d elements for shape %v", len(v), a.Shape)
		}
	})
}

func TestReadNPY_passesOnReadErrors(t *testing.T) {
	broken := errors.New("connection reset")
	var b bytes.Buffer
	if err := WriteNPY(&b, []int{4}, []uint8{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	_, err := ReadNPY(io.MultiReader(bytes.NewReader(b.Bytes()[:b.Len()-2]), failing{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
