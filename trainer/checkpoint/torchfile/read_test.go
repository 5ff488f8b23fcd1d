package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// encoded is a tensor of little-endian numbers.
func encoded[T any](dtype checkpoint.DType, shape []int, numbers ...T) checkpoint.Tensor {
	raw, err := binary.Append(nil, binary.LittleEndian, numbers)
	if err != nil {
		panic(err)
	}
	return checkpoint.Tensor{DType: dtype, Shape: shape, Data: raw}
}

// saved is what testdata/make.py saves.
func saved() map[string]checkpoint.Tensor {
	square := []int{2, 3}
	return map[string]checkpoint.Tensor{
		"float64":  encoded(checkpoint.F64, square, -0.5, -0.25, 0, 0.25, 0.5, 0.75),
		"float32":  encoded[float32](checkpoint.F32, square, -0.5, -0.25, 0, 0.25, 0.5, 0.75),
		"float16":  encoded[uint16](checkpoint.F16, square, 0xb800, 0xb400, 0, 0x3400, 0x3800, 0x3a00),
		"bfloat16": encoded[uint16](checkpoint.BF16, square, 0xbf00, 0xbe80, 0, 0x3e80, 0x3f00, 0x3f40),
		"int64":    encoded[int64](checkpoint.I64, square, -2, -1, 0, 1, 2, 3),
		"int32":    encoded[int32](checkpoint.I32, square, -2, -1, 0, 1, 2, 3),
		"int16":    encoded[int16](checkpoint.I16, square, -2, -1, 0, 1, 2, 3),
		"int8":     encoded[int8](checkpoint.I8, square, -2, -1, 0, 1, 2, 3),
		"uint8":    encoded[uint8](checkpoint.U8, square, 0, 1, 2, 3, 4, 5),
		"bool":     encoded(checkpoint.BOOL, square, true, false, true, false, true, true),

		"views.whole":      encoded[float32](checkpoint.F32, []int{3, 4}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
		"views.transposed": encoded[float32](checkpoint.F32, []int{4, 3}, 0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11),
		"views.part":       encoded[float32](checkpoint.F32, []int{2, 2}, 5, 7, 9, 11),
		"views.row":        encoded[float32](checkpoint.F32, []int{4}, 8, 9, 10, 11),
		"views.expanded":   encoded[float32](checkpoint.F32, []int{2, 3}, 7, 7, 7, 8, 8, 8),

		"scalar":    encoded[float32](checkpoint.F32, nil, 5),
		"empty":     {DType: checkpoint.F32, Shape: []int{0, 4}},
		"parameter": encoded[float32](checkpoint.F32, []int{2}, 1, 2),
	}
}

func TestReadFile_readsWhatTorchSaveWrote(t *testing.T) {
	for _, file := range []string{"zip.pt", "dict.pt", "protocol4.pt", "legacy.pt"} {
		t.Run(file, func(t *testing.T) {
			got, err := ReadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(saved(), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReadFile_refusesWhatIsNoDictOfTensors(t *testing.T) {
	for file, want := range map[string]string{
		"module.pt":   `refers to "torch.nn.modules.linear.Linear"`,
		"training.pt": `"model" is a dict, want tensors only`,
		"list.pt":     "holds a list, want a dict of tensors",
		"sparse.pt":   `refers to "torch._utils._rebuild_sparse_tensor"`,
		"complex.pt":  `refers to "torch.ComplexFloatStorage"`,
		"script.pt":   "TorchScript archive",
		"make.py":     "no file of torch.save",
	} {
		t.Run(file, func(t *testing.T) {
			_, err := ReadFile(filepath.Join("testdata", file))
			var bad *dataerror.Error
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want bad data: %q", err, want)
			}
		})
	}
	if _, err := ReadFile("testdata/nowhere.pt"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
}

// record is an object of an archive.
type record struct {
	name string
	data []byte
}

// archived returns an archive as torch.save lays it out, with one storage "0" of 16 bytes; change may alter it.
func archived(t testing.TB, code string, change func(*[]record)) []byte {
	t.Helper()
	records := []record{{"a/data.pkl", []byte(code)}, {"a/data/0", make([]byte, 16)}, {"a/version", []byte("3\n")}}
	if change != nil {
		change(&records)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, r := range records {
		f, err := w.CreateRaw(&zip.FileHeader{
			Name: r.name, CRC32: crc32.ChecksumIEEE(r.data), CompressedSize64: uint64(len(r.data)), UncompressedSize64: uint64(len(r.data)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(r.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(raw []byte) (map[string]checkpoint.Tensor, error) {
	return Read(bytes.NewReader(raw), int64(len(raw)))
}

// Pieces of pickles.
const (
	proto    = "\x80\x02"
	store    = "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
	rebuild  = "ctorch._utils\n_rebuild_tensor_v2\n("
	hooks    = "\x89}tR"
	dictOfW  = proto + "}X\x01\x00\x00\x00w"
	whole    = rebuild + store + "K\x00K\x04\x85K\x01\x85" + hooks
	largest8 = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
)

func TestRead_refusesHostilePickles(t *testing.T) {
	for name, c := range map[string]struct{ code, want string }{
		"a command":                      {proto + "cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", `"os.system"`},
		"a command by another name":      {"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", `"builtins.eval"`},
		"a name within torch":            {proto + "ctorch\nload\n.", `"torch.load"`},
		"a known name called wrongly":    {proto + "ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"},
		"an object of a class":           {proto + "ccollections\nOrderedDict\n)\x81.", "instruction 0x81"},
		"an instruction of protocol 0":   {proto + "ios\nsystem\n.", "instruction 0x69"},
		"an extension code":              {proto + "\x82\x01.", "instruction 0x82"},
		"a dict that contains itself":    {proto + "}q\x00X\x01\x00\x00\x00wh\x00s.", `"w" is a dict`},
		"a list that contains itself":    {proto + "]q\x00h\x00a.", "holds a list"},
		"a memo index that is not there": {proto + "j\xff\xff\xff\xff.", "asks for value 4294967295"},
		"a text longer than the pickle":  {proto + "X\xff\x00\x00\x00a.", "in the middle"},
		"a text of gigabytes":            {proto + "\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "longer than"},
		"a number of many bytes":         {proto + "\x8a\xffa.", "too large"},
		"an empty stack":                 {proto + "s.", "where there is none"},
		"no value":                       {proto + ".", "ends with 0 values"},
		"two values":                     {proto + "NN.", "ends with 2 values"},
		"no mark":                        {proto + "u.", "looks for a mark"},
		"a mark for a value":             {proto + "(.", "takes a mark"},
		"no end":                         {proto + "}", "in the middle"},
		"protocol 0":                     {"(dp0\n.", "protocol 2 to 5"},
		"a name without end":             {proto + "c" + strings.Repeat("x", 5000), "has no end"},
		"a million values":               {proto + strings.Repeat("N", maxValues+1), "more than"},
		"a deep nest":                    {proto + "N" + strings.Repeat("\x85", 1<<19) + ".", "holds a tuple of 1"},
		"a key that is no text":          {proto + "}K\x01" + whole + "s.", "a key of its dict is a whole number"},
		"the same name twice":            {dictOfW + whole + "sX\x01\x00\x00\x00w" + whole + "s.", "there twice"},
		"a storage that is missing":      {dictOfW + strings.Replace(whole, "\x000X", "\x001X", 1) + "s.", "data/1\" is missing"},
		"a storage with another size":    {dictOfW + strings.Replace(whole, "cpuK\x04", "cpuK\x08", 1) + "s.", "has 16 bytes"},
		"a storage with another type":    {dictOfW + whole + "sX\x01\x00\x00\x00v" + strings.Replace(whole, "Float", "Int", 1) + "s.", "elsewhere"},
		"a storage outside the folder":   {dictOfW + strings.Replace(whole, "\x01\x00\x00\x000X", "\x0a\x00\x00\x00../versionX", 1) + "s.", `"a/data/../version" is missing`},
		"a huge storage":                 {dictOfW + strings.Replace(whole, "cpuK\x04", "cpu"+largest8, 1) + "s.", "not possible"},
		"an offset behind the end":       {dictOfW + strings.Replace(whole, "QK\x00", "QK\x01", 1) + "s.", "not inside its storage"},
		"a negative offset":              {dictOfW + strings.Replace(whole, "QK\x00", "QJ\xff\xff\xff\xff", 1) + "s.", "has the offset"},
		"a shape that is too large":      {dictOfW + strings.Replace(whole, "K\x04\x85", "K\x05\x85", 1) + "s.", "not inside its storage"},
		"a shape that overflows":         {dictOfW + strings.Replace(whole, "K\x04\x85K\x01\x85", largest8+largest8+"\x86K\x00K\x00\x86", 1) + "s.", "not possible"},
		"a stride that overflows":        {dictOfW + strings.Replace(whole, "K\x01\x85", largest8+"\x85", 1) + "s.", "not inside its storage"},
		"a negative stride":              {dictOfW + strings.Replace(whole, "K\x01\x85", "J\xff\xff\xff\xff\x85", 1) + "s.", "at least 0"},
		"one element a million times":    {dictOfW + strings.Replace(whole, "K\x04\x85K\x01\x85", "J\x00\x00\x10\x00\x85K\x00\x85", 1) + "s.", "tensor.clone()"},
		"a shape without strides":        {dictOfW + strings.Replace(whole, "K\x01\x85", ")", 1) + "s.", "the stride []"},
		"a negated tensor":               {dictOfW + strings.Replace(whole, "\x89}tR", "\x89}}X\x03\x00\x00\x00neg\x88stR", 1) + "s.", "conjugated or negated"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(archived(t, c.code, nil))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestRead_saysWhatToDoAboutUnknownNames(t *testing.T) {
	_, err := read(archived(t, proto+"cnumpy.core.multiarray\n_reconstruct\n.", nil))
	for _, part := range []string{"numpy.core.multiarray._reconstruct", "nothing of the file was executed", "torch.save(model.state_dict()"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
}

func TestRead_refusesBrokenArchives(t *testing.T) {
	code := dictOfW + whole + "s."
	if tensors, err := read(archived(t, code, nil)); err != nil || len(tensors) != 1 {
		t.Fatalf("the archive that the others are made of: %v, %v", tensors, err)
	}
	for name, c := range map[string]struct {
		change func(*[]record)
		want   string
	}{
		"no content":              {func(r *[]record) { *r = (*r)[1:] }, "lacks data.pkl"},
		"no storage":              {func(r *[]record) { *r = slices.Delete(*r, 1, 2) }, `"a/data/0" is missing`},
		"no version":              {func(r *[]record) { *r = (*r)[:2] }, `"a/version" is missing`},
		"a version of the future": {func(r *[]record) { (*r)[2].data = []byte("99\n") }, "version"},
		"big-endian":              {func(r *[]record) { *r = append(*r, record{"a/byteorder", []byte("big")}) }, `byte order is "big"`},
		"a record twice":          {func(r *[]record) { *r = append(*r, (*r)[1]) }, "there twice"},
		"two contents":            {func(r *[]record) { *r = append(*r, record{"b/data.pkl", nil}) }, "could be its content"},
		"a storage cut short":     {func(r *[]record) { (*r)[1].data = make([]byte, 8) }, "has 8 bytes"},
		"a pickle of 17 MiB":      {func(r *[]record) { (*r)[0].data = make([]byte, 17<<20) }, "at most 16777216"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(archived(t, code, c.change)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRead_refusesArchivesThatLie(t *testing.T) {
	code := dictOfW + whole + "s."
	raw := archived(t, code, nil)
	directory := bytes.Index(raw, []byte("PK\x01\x02"))
	entry := func(name string) int { return bytes.LastIndex(raw, []byte(name)) - 46 }
	for name, c := range map[string]struct {
		change func(raw []byte) []byte
		want   string
	}{
		"cut short":             {func(raw []byte) []byte { return raw[:len(raw)/2] }, "not a valid zip file"},
		"without a directory":   {func(raw []byte) []byte { return raw[:directory] }, "not a valid zip file"},
		"with a flipped bit":    {func(raw []byte) []byte { raw[bytes.Index(raw, []byte("a/data/0"))+12] ^= 1; return raw }, "checksum"},
		"compressed":            {func(raw []byte) []byte { raw[entry("a/data/0")+10] = 8; return raw }, "is compressed"},
		"encrypted":             {func(raw []byte) []byte { raw[entry("a/data/0")+8] |= 1; return raw }, "is encrypted"},
		"a size of gigabytes":   {func(raw []byte) []byte { return sized(raw, entry("a/data/0"), 1<<31) }, "not inside the file"},
		"records that overlap":  {func(raw []byte) []byte { return sized(raw, entry("a/data/0"), 70) }, "share the bytes"},
		"records at one offset": {func(raw []byte) []byte { copy(raw[entry("a/version")+42:], make([]byte, 4)); return raw }, "share the bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(c.change(slices.Clone(raw))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// sized changes both sizes of an entry of the directory.
func sized(raw []byte, entry int, size uint32) []byte {
	binary.LittleEndian.PutUint32(raw[entry+20:], size)
	binary.LittleEndian.PutUint32(raw[entry+24:], size)
	return raw
}

func TestRead_refusesBrokenLegacyFiles(t *testing.T) {
	whole, err := os.ReadFile("testdata/legacy.pt")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"cut in the pickle": {func(raw []byte) []byte { return raw[:300] }, "in the middle"},
		"cut in a storage":  {func(raw []byte) []byte { return raw[:len(raw)-3] }, "truncated"},
		"another protocol":  {func(raw []byte) []byte { raw[18]++; return raw }, "protocol is not 1001"},
		"from another machine": {func(raw []byte) []byte {
			return bytes.Replace(raw, []byte("_endianq\x02\x88"), []byte("_endianq\x02\x89"), 1)
		}, "little-endian"},
		"another number of bytes": {func(raw []byte) []byte { raw[len(raw)-16]++; return raw }, "elements"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(c.change(slices.Clone(whole))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
