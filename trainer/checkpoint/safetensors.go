package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// maxHeader is the largest header that is read; the format's own limit.
const maxHeader = 100_000_000

// entry is one tensor in a header. Offsets count from the end of the header.
type entry struct {
	DType   DType    `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// File is an encoded safetensors file that shares its tensors' memory.
type File struct {
	parts  [][]byte
	starts []int64
	size   int64
}

// EncodeSafetensors lays tensors out in name order, so that equal tensors give equal bytes. metadata may be nil.
func EncodeSafetensors(tensors map[string]Tensor, metadata map[string]string) (*File, error) {
	header := map[string]any{}
	if metadata != nil {
		header["__metadata__"] = metadata
	}
	var parts [][]byte
	var at int64
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[name]
		if err := t.Check(); err != nil {
			return nil, fmt.Errorf("encode tensor %s: %w", name, err)
		}
		if name == "__metadata__" {
			return nil, fmt.Errorf("encode tensor %s: the format keeps this name for itself", name)
		}
		next := at + int64(len(t.Data))
		header[name] = entry{t.DType, append([]int{}, t.Shape...), [2]int64{at, next}}
		parts, at = append(parts, t.Data), next
	}
	head, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("encode safetensors header: %w", err)
	}
	head = append(head, bytes.Repeat([]byte{' '}, -len(head)&7)...)
	f := &File{}
	f.append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))))
	f.append(head)
	for _, p := range parts {
		f.append(p)
	}
	return f, nil
}

func (f *File) append(p []byte) {
	f.parts, f.starts = append(f.parts, p), append(f.starts, f.size)
	f.size += int64(len(p))
}

// Size returns the file's length in bytes.
func (f *File) Size() int64 { return f.size }

// Reader returns a reader from the file's beginning, which can be rewound for a retry.
func (f *File) Reader() *io.SectionReader { return io.NewSectionReader(f, 0, f.size) }

// ReadAt implements [io.ReaderAt].
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	i, found := slices.BinarySearch(f.starts, off)
	if !found {
		i--
	}
	n := 0
	for ; i < len(f.parts) && n < len(p); i++ {
		if skip := off + int64(n) - f.starts[i]; skip < int64(len(f.parts[i])) {
			n += copy(p[n:], f.parts[i][skip:])
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// DecodeSafetensors reads a whole file. The tensors share raw's memory. It is strict: the tensors must cover the data
// exactly, without gaps or overlaps, and have the sizes that their shapes say.
func DecodeSafetensors(raw []byte) (map[string]Tensor, map[string]string, error) {
	if len(raw) < 8 {
		return nil, nil, fmt.Errorf("safetensors: %d bytes are too few for a header", len(raw))
	}
	n := binary.LittleEndian.Uint64(raw)
	if n > maxHeader || n > uint64(len(raw)-8) {
		return nil, nil, fmt.Errorf("safetensors: a header of %d bytes does not fit a file of %d", n, len(raw))
	}
	entries, metadata, err := decodeHeader(raw[8 : 8+n])
	if err != nil {
		return nil, nil, err
	}
	tensors, err := cut(entries, raw[8+n:])
	return tensors, metadata, err
}

func decodeHeader(raw []byte) (map[string]entry, map[string]string, error) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, nil, fmt.Errorf("safetensors: the header is no JSON object")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, nil, fmt.Errorf("safetensors: header: %w", err)
	}
	var metadata map[string]string
	if m, ok := fields["__metadata__"]; ok {
		if err := json.Unmarshal(m, &metadata); err != nil {
			return nil, nil, fmt.Errorf("safetensors: metadata: %w", err)
		}
		delete(fields, "__metadata__")
	}
	entries := map[string]entry{}
	for name, field := range fields {
		var e entry
		d := json.NewDecoder(bytes.NewReader(field))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("safetensors: tensor %s: %w", name, err)
		}
		entries[name] = e
	}
	return entries, metadata, nil
}

// cut slices data into the tensors of entries, in the order of their offsets.
func cut(entries map[string]entry, data []byte) (map[string]Tensor, error) {
	names := slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
		x, y := entries[a].Offsets, entries[b].Offsets
		return slices.Compare(x[:], y[:])
	})
	tensors := map[string]Tensor{}
	var at int64
	for _, name := range names {
		e := entries[name]
		size, err := byteSize(e.DType, e.Shape)
		if err != nil {
			return nil, fmt.Errorf("safetensors: tensor %s: %w", name, err)
		}
		if e.Offsets[0] != at || e.Offsets[1] < at || e.Offsets[1]-at != size || e.Offsets[1] > int64(len(data)) {
			return nil, fmt.Errorf("safetensors: tensor %s is %s%v at bytes %d to %d of %d, want %d bytes from %d on",
				name, e.DType, e.Shape, e.Offsets[0], e.Offsets[1], len(data), size, at)
		}
		tensors[name] = Tensor{e.DType, e.Shape, data[at:e.Offsets[1]:e.Offsets[1]]}
		at = e.Offsets[1]
	}
	if at != int64(len(data)) {
		return nil, fmt.Errorf("safetensors: %d bytes at the end belong to no tensor", int64(len(data))-at)
	}
	return tensors, nil
}

// ReadSafetensors reads a file from disk.
func ReadSafetensors(path string) (map[string]Tensor, map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	tensors, metadata, err := DecodeSafetensors(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, metadata, nil
}
