package torchfile

import (
	"encoding/binary"
	"fmt"
	"io"
)

// legacyMagic begins files of PyTorch before 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
var legacyMagic = []byte{0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'}

// legacyProtocol is the only version of the format that was ever written.
const legacyProtocol = 1001

// openLegacy reads the pickles at the beginning of an old file: magic number, protocol, what the machine was like, the
// state dict, and the storages' keys in the order in which their bytes follow, each after its number of elements.
func openLegacy(r io.ReaderAt, size int64) (*container, error) {
	code := make([]byte, min(size, maxPickle))
	if _, err := r.ReadAt(code, 0); err != nil && err != io.EOF {
		return nil, err
	}
	at := len(legacyMagic)
	var values [4]any
	for i := range values {
		v, n, err := unpickle(code[at:])
		if err != nil {
			return nil, fmt.Errorf("part %d, which begins at byte %d: %w", i+2, at, err)
		}
		values[i], at = v, at+n
	}
	if protocol, ok := values[0].(int64); !ok || protocol != legacyProtocol {
		return nil, fmt.Errorf("the file's protocol is not %d: load the file and save it again with torch.save", legacyProtocol)
	}
	if !littleEndian(values[1]) {
		return nil, fmt.Errorf("the file is not from a little-endian machine: load it and save it again on one")
	}
	keys, ok := values[3].(*list)
	if !ok {
		return nil, fmt.Errorf("%s where the storages' keys should be", kind(values[3]))
	}
	l := legacy{r: r, size: size, place: map[string]int{}, at: int64(at)}
	for i, k := range keys.items {
		key, ok := k.(string)
		if _, twice := l.place[key]; !ok || twice {
			return nil, fmt.Errorf("storage %d has no key of its own", i)
		}
		l.place[key] = i
		l.keys = append(l.keys, key)
	}
	storages, err := l.storages(values[2])
	if err != nil {
		return nil, err
	}
	if err := l.locate(storages); err != nil {
		return nil, err
	}
	return &container{root: values[2], read: l.read}, nil
}

// littleEndian reads what an old file says of the machine that wrote it.
func littleEndian(info any) bool {
	d, ok := info.(*dict)
	if !ok {
		return false
	}
	for _, i := range d.items {
		if i.key == "little_endian" {
			return i.value == true
		}
	}
	return false
}

// legacy is an old file's part with the storages, from at on.
type legacy struct {
	r       io.ReaderAt
	size    int64
	at      int64
	keys    []string
	place   map[string]int
	offsets []int64
}

// storages finds the storages by the tensors that use them.
func (l *legacy) storages(root any) (map[string]*storage, error) {
	views, err := namedViews(root)
	if err != nil {
		return nil, err
	}
	found := map[string]*storage{}
	for _, v := range views {
		if _, ok := l.place[v.storage.key]; !ok {
			return nil, fmt.Errorf("tensor %.200q: the file lacks storage %.80q", v.name, v.storage.key)
		}
		found[v.storage.key] = v.storage
	}
	return found, nil
}

// locate computes where each storage begins, and checks that it is as long as its tensors think.
func (l *legacy) locate(storages map[string]*storage) error {
	at := l.at
	for _, key := range l.keys {
		s := storages[key]
		if s == nil {
			return fmt.Errorf("no tensor uses storage %.80q, so that its size is not known; load the file and save it again with torch.save", key)
		}
		var count [8]byte
		if _, err := l.r.ReadAt(count[:], at); err != nil {
			return fmt.Errorf("storage %.80q: the file is truncated: %w", key, err)
		}
		if n := int64(binary.LittleEndian.Uint64(count[:])); n != s.elements {
			return fmt.Errorf("storage %.80q has %d elements, its tensors were made of %d", key, n, s.elements)
		}
		at += 8
		bytes := s.elements * int64(s.dtype.Size())
		if bytes > l.size-at {
			return fmt.Errorf("storage %.80q of %d bytes is not inside the file: it is truncated", key, bytes)
		}
		l.offsets = append(l.offsets, at)
		at += bytes
	}
	return nil
}

func (l *legacy) read(s *storage) ([]byte, error) {
	raw := make([]byte, s.elements*int64(s.dtype.Size()))
	if _, err := l.r.ReadAt(raw, l.offsets[l.place[s.key]]); err != nil && (err != io.EOF || len(raw) > 0) {
		return nil, fmt.Errorf("storage %.80q: %w", s.key, err)
	}
	return raw, nil
}
