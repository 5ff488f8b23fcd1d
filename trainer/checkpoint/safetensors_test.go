package checkpoint

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSafetensorsRoundTrip(t *testing.T) {
	want := map[string]Tensor{
		"weight":  Float32Tensor([]float32{1, -2.5, 3, 4, 5, 6}, 2, 3),
		"steps":   Int32Tensor([]int32{7, -8}, 2),
		"scalar":  {DType: I64, Shape: []int{}, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		"nothing": {DType: BF16, Shape: []int{0, 4}, Data: []byte{}},
	}
	raw := encoded(t, want, map[string]string{"step": "12"})
	got, metadata, err := DecodeSafetensors(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if metadata["step"] != "12" {
		t.Errorf("metadata is %v", metadata)
	}
	if start := 8 + binary.LittleEndian.Uint64(raw); start%8 != 0 {
		t.Errorf("data begins at byte %d, which is not aligned", start)
	}
}

func TestBrokenSafetensorsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		header, data string
		want         string
	}{
		"no object":             {`[]`, "", "no JSON object"},
		"cut off":               {`{"a":`, "", "header"},
		"unknown type":          {`{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}`, "x", "tensor a: element type"},
		"unknown field":         {`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"code":"x"}}`, "x", "unknown field"},
		"negative dimension":    {`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, "x", "shape [-1]"},
		"overflowing shape":     {`{"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,0]}}`, "", "not possible"},
		"shape and size differ": {`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "1234", "want 8 bytes"},
		"past the end":          {`{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}`, "1234", "of 4"},
		"backwards":             {`{"a":{"dtype":"U8","shape":[0],"data_offsets":[4,0]}}`, "1234", "tensor a"},
		"gap":                   {`{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, "1234", "from 0 on"},
		"overlap": {`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`,
			"1234", "tensor b"},
		"left over": {`{}`, "1234", "4 bytes at the end"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := append(binary.LittleEndian.AppendUint64(nil, uint64(len(c.header))), c.header+c.data...)
			_, _, err := DecodeSafetensors(raw)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
		})
	}
	for _, raw := range []string{"", "1234567", "\xff\xff\xff\xff\xff\xff\xff\xff{}", "\x03\x00\x00\x00\x00\x00\x00\x00{}"} {
		if _, _, err := DecodeSafetensors([]byte(raw)); err == nil {
			t.Errorf("%q is accepted", raw)
		}
	}
}

// What decodes encodes again to a file that decodes to the same; nothing makes the decoder panic.
func FuzzDecodeSafetensors(f *testing.F) {
	f.Add(encoded(f, map[string]Tensor{"a": Float32Tensor([]float32{1, 2}, 2), "b": Int32Tensor([]int32{3}, 1)}, map[string]string{"k": "v"}))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tensors, metadata, err := DecodeSafetensors(raw)
		if err != nil {
			return
		}
		again, _, err := DecodeSafetensors(encoded(t, tensors, metadata))
		if err != nil {
			t.Fatal(err)
		}
		for name, tensor := range tensors {
			if !bytes.Equal(again[name].Data, tensor.Data) {
				t.Errorf("tensor %s changes", name)
			}
		}
	})
}

func encoded(t testing.TB, tensors map[string]Tensor, metadata map[string]string) []byte {
	t.Helper()
	file, err := EncodeSafetensors(tensors, metadata)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(file.Reader())
	if err != nil || int64(len(raw)) != file.Size() {
		t.Fatalf("read %d bytes of %d: %v", len(raw), file.Size(), err)
	}
	return raw
}
