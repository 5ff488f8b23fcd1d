package torchfile

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
)

const (
	// folderName is the archive's folder, which may have any name.
	folderName = "archive/"
	// alignment is where PyTorch lets the bytes of a storage begin, so that they can be mapped into memory.
	alignment = 64
	// version is the format of which every PyTorch since 1.6 reads everything that is written here.
	version = "3\n"
	// maxRecord is the size that a record of a zip archive must stay below, for want of the extensions for larger ones.
	maxRecord = math.MaxUint32
)

// WriteFile writes tensors to a new file as torch.save(OrderedDict(…)) does, in the order of names. torch.load reads it, with
// weights_only=True too. Equal tensors give equal bytes.
func WriteFile(path string, tensors map[string]checkpoint.Tensor) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	err = Write(buffered, tensors)
	for _, end := range []func() error{buffered.Flush, f.Sync} {
		if err == nil {
			err = end()
		}
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Write writes what [WriteFile] does.
func Write(w io.Writer, tensors map[string]checkpoint.Tensor) error {
	names := slices.Sorted(maps.Keys(tensors))
	code, err := stateDict(names, tensors)
	if err != nil {
		return err
	}
	a := newArchiveWriter(w)
	if err := a.record("data.pkl", code); err != nil {
		return err
	}
	if err := a.record("byteorder", []byte("little")); err != nil {
		return err
	}
	for i, name := range names {
		if err := a.record("data/"+strconv.Itoa(i), tensors[name].Data); err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
	}
	if err := a.record("version", []byte(version)); err != nil {
		return err
	}
	return a.zip.Close()
}

// archiveWriter writes records that are stored as they are and aligned.
type archiveWriter struct {
	zip *zip.Writer
	out counter
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func newArchiveWriter(w io.Writer) *archiveWriter {
	a := &archiveWriter{out: counter{w: w}}
	a.zip = zip.NewWriter(&a.out)
	return a
}

func (a *archiveWriter) record(name string, data []byte) error {
	if uint64(len(data)) >= maxRecord {
		return fmt.Errorf("%d bytes are more than a record of a zip archive can have", len(data))
	}
	if err := a.zip.Flush(); err != nil {
		return err
	}
	h := &zip.FileHeader{
		Name: folderName + name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data)),
	}
	h.Extra = padding(a.out.n + localHeader + int64(len(h.Name)))
	w, err := a.zip.CreateRaw(h)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// localHeader is the length of a record's header less its name and its extra field.
const localHeader = 30

// padding returns an extra field of the kind that PyTorch uses, "FB", after which the data of a record whose extra field
// begins at start is aligned.
func padding(start int64) []byte {
	n := (alignment - (start+4)%alignment) % alignment
	extra := binary.LittleEndian.AppendUint16([]byte("FB"), uint16(n))
	return append(extra, bytes.Repeat([]byte{'Z'}, int(n))...)
}

// storageNames are PyTorch's names of the storages of an element type.
var storageNames = func() map[checkpoint.DType]string {
	names := map[checkpoint.DType]string{}
	for name, dtype := range storageTypes {
		names[dtype] = name
	}
	return names
}()

// stateDict is the pickle of an OrderedDict of tensors, in protocol 2 and with the instructions that every PyTorch
// allows. Storage i is that of the i-th name.
func stateDict(names []string, tensors map[string]checkpoint.Tensor) ([]byte, error) {
	p := pickler{0x80, 2}
	p.global(orderedDict)
	p = append(p, ")R("...)
	for i, name := range names {
		t := tensors[name]
		if err := t.Check(); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		p.text(name)
		p.tensor(strconv.Itoa(i), t)
	}
	p = append(p, "u."...)
	return p, nil
}

// pickler is a pickle in the making.
type pickler []byte

func (p *pickler) global(g global) { *p = append(*p, "c"+g.module+"\n"+g.name+"\n"...) }

func (p *pickler) text(s string) {
	*p = append(binary.LittleEndian.AppendUint32(append(*p, 'X'), uint32(len(s))), s...)
}

// number takes four bytes if they are enough, else eight.
func (p *pickler) number(n int) {
	if n <= math.MaxInt32 {
		*p = binary.LittleEndian.AppendUint32(append(*p, 'J'), uint32(n))
		return
	}
	*p = binary.LittleEndian.AppendUint64(append(*p, 0x8a, 8), uint64(n))
}

func (p *pickler) tuple(numbers []int) {
	*p = append(*p, '(')
	for _, n := range numbers {
		p.number(n)
	}
	*p = append(*p, 't')
}

// tensor is _rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict()).
func (p *pickler) tensor(key string, t checkpoint.Tensor) {
	p.global(rebuildTensor)
	*p = append(*p, "(("...)
	p.text("storage")
	p.global(global{"torch", storageNames[t.DType]})
	p.text(key)
	p.text("cpu")
	p.number(t.Elements())
	*p = append(*p, "tQ"...)
	p.number(0)
	p.tuple(t.Shape)
	p.tuple(strides(t.Shape))
	*p = append(*p, 0x89)
	p.global(orderedDict)
	*p = append(*p, ")RtR"...)
}

// strides are those of a tensor whose last dimension is the fastest.
func strides(shape []int) []int {
	out := make([]int, len(shape))
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		out[i] = step
		step *= max(1, shape[i])
	}
	return out
}
