package torchfile

import (
	"archive/zip"
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

var zipMagic = []byte("PK\x03\x04")

// maxVersion is the newest file format that PyTorch defines (caffe2/serialize/versions.h).
const maxVersion = 10

// archive is a file in the zip format of PyTorch 1.6 and later: NAME/data.pkl, NAME/data/KEY, NAME/version.
type archive struct {
	records map[string]*zip.File
}

// openZip checks the archive's structure before anything is read out of it: its records are stored as they are, inside
// the file, and do not overlap, so that all of them together take no more memory than the file has bytes.
func openZip(r io.ReaderAt, size int64) (*container, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("zip archive: %w", err)
	}
	a := &archive{records: map[string]*zip.File{}}
	prefix := ""
	for _, f := range z.File {
		if a.records[f.Name] != nil {
			return nil, fmt.Errorf("zip archive: record %.200q is there twice", f.Name)
		}
		a.records[f.Name] = f
		if dir, name := path.Split(f.Name); name == "data.pkl" {
			if prefix != "" {
				return nil, fmt.Errorf("zip archive: both %.200q and %.200qdata.pkl could be its content", prefix+"data.pkl", dir)
			}
			prefix = dir
		}
	}
	if prefix == "" {
		return nil, fmt.Errorf("this zip archive lacks data.pkl: torch.save did not write it")
	}
	if a.records[prefix+"constants.pkl"] != nil {
		return nil, fmt.Errorf("this is a TorchScript archive, want the weights alone: load it with torch.jit.load and save them: torch.save(model.state_dict(), …)")
	}
	if err := a.checkLayout(size); err != nil {
		return nil, err
	}
	if err := a.checkVersion(prefix); err != nil {
		return nil, err
	}
	code, err := a.record(prefix+"data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	root, _, err := unpickle(code)
	if err != nil {
		return nil, err
	}
	return &container{root: root, read: func(s *storage) ([]byte, error) {
		name := prefix + "data/" + s.key
		want := s.elements * int64(s.dtype.Size())
		if f := a.records[name]; f != nil && int64(f.UncompressedSize64) != want {
			return nil, fmt.Errorf("record %.200q has %d bytes, %d elements of %s take %d", name, f.UncompressedSize64, s.elements, s.dtype, want)
		}
		return a.record(name, want)
	}}, nil
}

// checkLayout compares where the records lie with the file's size.
func (a *archive) checkLayout(size int64) error {
	type span struct{ from, to int64 }
	var spans []span
	for name, f := range a.records {
		if f.Flags&1 != 0 {
			return fmt.Errorf("zip archive: record %.200q is encrypted", name)
		}
		if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
			return fmt.Errorf("zip archive: record %.200q is compressed, torch.save stores records as they are: load the file and save it again with torch.save", name)
		}
		from, err := f.DataOffset()
		if err != nil {
			return fmt.Errorf("zip archive: record %.200q: %w", name, err)
		}
		if f.UncompressedSize64 > uint64(size) || from > size-int64(f.UncompressedSize64) {
			return fmt.Errorf("zip archive: record %.200q of %d bytes at %d is not inside the file of %d: it is truncated", name, f.UncompressedSize64, from, size)
		}
		spans = append(spans, span{from, from + int64(f.UncompressedSize64)})
	}
	slices.SortFunc(spans, func(x, y span) int { return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.to, y.to)) })
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return fmt.Errorf("zip archive: two records share the bytes from %d on", spans[i].from)
		}
	}
	return nil
}

// checkVersion refuses formats that do not exist yet, and tensors whose bytes are in another order.
func (a *archive) checkVersion(prefix string) error {
	raw, err := a.record(prefix+"version", 20)
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || version < 1 || version > maxVersion {
		return fmt.Errorf("the file format is version %q, those from 1 to %d are known", raw, maxVersion)
	}
	if a.records[prefix+"byteorder"] == nil {
		return nil
	}
	order, err := a.record(prefix+"byteorder", 20)
	if err == nil && string(order) != "little" {
		err = fmt.Errorf("its byte order is %q, want little: load the file and save it again on a little-endian machine", order)
	}
	return err
}

// record reads a whole record of at most limit bytes. The checksum is compared at its end.
func (a *archive) record(name string, limit int64) ([]byte, error) {
	f := a.records[name]
	if f == nil {
		return nil, fmt.Errorf("zip archive: record %.200q is missing", name)
	}
	if f.UncompressedSize64 > uint64(limit) {
		return nil, fmt.Errorf("zip archive: record %.200q has %d bytes, at most %d can be", name, f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("zip archive: record %.200q: %w", name, err)
	}
	defer func() { _ = r.Close() }()
	raw := make([]byte, f.UncompressedSize64)
	if _, err = io.ReadFull(r, raw); err == nil {
		// The end of the record is where its checksum is compared.
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return nil, fmt.Errorf("zip archive: record %.200q: %w", name, err)
	}
	return raw, nil
}
