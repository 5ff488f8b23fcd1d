package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unsafe"
)

// NPY is an array of integers in C order, as numpy's .npy files hold it.
type NPY struct {
	Shape []int
	// Type is one of |u1 |i1 <u2 <i2 <u4 <i4 <u8 <i8.
	Type string
	Data []byte
}

const (
	npyMagic = "\x93NUMPY"
	// maxNPYHeader is far more than any array of integers needs.
	maxNPYHeader = 4 << 10
	// maxNPYBytes bounds what a header can make the reader accept.
	maxNPYBytes = 64 << 30
)

var npySizes = map[string]int{"|u1": 1, "|i1": 1, "<u2": 2, "<i2": 2, "<u4": 4, "<i4": 4, "<u8": 8, "<i8": 8}

// npyHeader matches the dictionary that numpy writes: the three keys in this order, which numpy itself guarantees.
var npyHeader = regexp.MustCompile(
	`^\{'descr': '([^']{1,8})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), ?\} *\n$`)

// ReadNPY reads a whole .npy file. It accepts what numpy writes for arrays of integers and nothing else: an unknown
// type, column order, a short file and bytes after the end are errors.
func ReadNPY(r io.Reader) (NPY, error) {
	b := bufio.NewReader(r)
	a, size, err := readNPYHeader(b)
	if err != nil {
		return NPY{}, err
	}
	if a.Data, err = readExactly(b, size); err != nil {
		return NPY{}, err
	}
	if _, err := b.ReadByte(); err == nil {
		return NPY{}, errTrailing
	} else if !errors.Is(err, io.EOF) {
		return NPY{}, err
	}
	return a, nil
}

var errTrailing = errors.New("bytes after the end of the array")

func readNPYHeader(r io.Reader) (NPY, int, error) {
	fixed := make([]byte, 10)
	if _, err := io.ReadFull(r, fixed); err != nil {
		return NPY{}, 0, short(err)
	}
	if string(fixed[:6]) != npyMagic {
		return NPY{}, 0, errors.New("not a .npy file")
	}
	length := int(binary.LittleEndian.Uint16(fixed[8:]))
	switch fixed[6] {
	case 1:
	case 2, 3:
		rest := make([]byte, 2)
		if _, err := io.ReadFull(r, rest); err != nil {
			return NPY{}, 0, short(err)
		}
		length |= int(binary.LittleEndian.Uint16(rest)) << 16
	default:
		return NPY{}, 0, fmt.Errorf("unknown .npy version %d", fixed[6])
	}
	if length > maxNPYHeader {
		return NPY{}, 0, fmt.Errorf("a header of %d bytes, expected at most %d", length, maxNPYHeader)
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(r, header); err != nil {
		return NPY{}, 0, short(err)
	}
	return parseNPYHeader(string(header))
}

func parseNPYHeader(header string) (NPY, int, error) {
	m := npyHeader.FindStringSubmatch(header)
	if m == nil {
		return NPY{}, 0, fmt.Errorf("unknown header %.80q", header)
	}
	size, ok := npySizes[m[1]]
	if !ok {
		return NPY{}, 0, fmt.Errorf("type %q: expected little-endian integers", m[1])
	}
	a := NPY{Type: m[1], Shape: []int{}}
	for _, text := range strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return NPY{}, 0, fmt.Errorf("shape (%s): %w", m[3], err)
		}
		a.Shape = append(a.Shape, n)
		if n > 0 && size > maxNPYBytes/n {
			return NPY{}, 0, fmt.Errorf("shape (%s) is too large", m[3])
		}
		size *= n
	}
	if m[2] == "True" && len(a.Shape) > 1 {
		return NPY{}, 0, errors.New("column order: write it with numpy.ascontiguousarray")
	}
	return a, size, nil
}

// readExactly reads size bytes, but takes memory only as they arrive: a header may lie about the size.
func readExactly(r io.Reader, size int) ([]byte, error) {
	const first = 1 << 20
	data := make([]byte, min(size, first))
	for done := 0; ; {
		n, err := io.ReadFull(r, data[done:])
		if err != nil {
			return nil, short(err)
		}
		if done += n; done == size {
			return data, nil
		}
		grown := make([]byte, min(size, 2*len(data)))
		copy(grown, data)
		data = grown
	}
}

func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends too early")
	}
	return err
}

// Rows is the length along the first axis.
func (a NPY) Rows() int {
	if len(a.Shape) == 0 {
		return 0
	}
	return a.Shape[0]
}

// Int32s converts the elements. The error names the first one that does not fit.
func (a NPY) Int32s() ([]int32, error) {
	size := npySizes[a.Type]
	out := make([]int32, len(a.Data)/size)
	for i := range out {
		v, ok := element(a.Type, a.Data[i*size:])
		if !ok {
			return nil, fmt.Errorf("element %d does not fit into 32 bits", i)
		}
		out[i] = v
	}
	return out, nil
}

// int32s is like Int32s, but returns the data itself where it is such numbers already.
func (a NPY) int32s() ([]int32, error) {
	const size = 4
	begin := unsafe.Pointer(unsafe.SliceData(a.Data))
	if a.Type != "<i4" || !littleEndian || uintptr(begin)%size != 0 {
		return a.Int32s()
	}
	return unsafe.Slice((*int32)(begin), len(a.Data)/size), nil
}

// littleEndian says that this machine's numbers lie in memory as they do in files.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

func element(kind string, b []byte) (int32, bool) {
	var v int64
	switch kind {
	case "|u1":
		v = int64(b[0])
	case "|i1":
		v = int64(int8(b[0]))
	case "<u2":
		v = int64(binary.LittleEndian.Uint16(b))
	case "<i2":
		v = int64(int16(binary.LittleEndian.Uint16(b)))
	case "<u4":
		v = int64(binary.LittleEndian.Uint32(b))
	case "<i4":
		v = int64(int32(binary.LittleEndian.Uint32(b)))
	case "<i8":
		v = int64(binary.LittleEndian.Uint64(b))
	case "<u8":
		u := binary.LittleEndian.Uint64(b)
		if u > math.MaxInt32 {
			return 0, false
		}
		v = int64(u)
	}
	return int32(v), v >= math.MinInt32 && v <= math.MaxInt32
}

// WriteNPY writes an array of bytes or of 32-bit integers.
func WriteNPY[T uint8 | int32](w io.Writer, shape []int, data []T) error {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if n != len(data) {
		return fmt.Errorf("write array: %d elements for shape %v", len(data), shape)
	}
	kind := "|u1"
	if _, wide := any(data).([]int32); wide {
		kind = "<i4"
	}
	if _, err := w.Write(npyHeaderOf(kind, shape)); err != nil {
		return err
	}
	return binary.Write(w, binary.LittleEndian, data)
}

// npyHeaderOf is what comes before the data of an array: version 1.0, with the data aligned to 64 bytes.
func npyHeaderOf(kind string, shape []int) []byte {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = strconv.Itoa(d)
	}
	list := strings.Join(dims, ", ")
	if len(dims) == 1 {
		list += ","
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, list)
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"
	fixed := binary.LittleEndian.AppendUint16([]byte(npyMagic+"\x01\x00"), uint16(len(header)))
	return append(fixed, header...)
}
