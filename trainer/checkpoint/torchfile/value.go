package torchfile

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
)

// The values that a pickle can make here, besides string, int64, float64, bool and nil.
type (
	// global is a name that the pickle refers to, as in torch.FloatStorage.
	global struct{ module, name string }
	// tuple cannot be changed once made, so that no tuple contains itself.
	tuple []any
	list  struct{ items []any }
	// dict is a dict or an OrderedDict, in the order of insertion. A key that is set twice stands there twice.
	dict struct{ items []item }
	item struct{ key, value any }
	mark struct{}
)

// storage is where a tensor's elements lie, in the file's record of that key.
type storage struct {
	key      string
	dtype    checkpoint.DType
	elements int64
}

// view is a tensor as the pickle describes it: elements of a storage, from offset on, shape and stride counted in elements.
type view struct {
	storage *storage
	offset  int64
	shape   []int
	stride  []int64
}

func (g global) String() string { return g.module + "." + g.name }

// The names that a dict of tensors needs.
var (
	orderedDict      = global{"collections", "OrderedDict"}
	rebuildTensor    = global{"torch._utils", "_rebuild_tensor_v2"}
	rebuildParameter = global{"torch._utils", "_rebuild_parameter"}
)

// storageTypes are the element types by PyTorch's names of their storages.
var storageTypes = map[string]checkpoint.DType{
	"FloatStorage": checkpoint.F32, "DoubleStorage": checkpoint.F64, "HalfStorage": checkpoint.F16, "BFloat16Storage": checkpoint.BF16,
	"LongStorage": checkpoint.I64, "IntStorage": checkpoint.I32, "ShortStorage": checkpoint.I16, "CharStorage": checkpoint.I8,
	"ByteStorage": checkpoint.U8, "BoolStorage": checkpoint.BOOL,
}

func (g global) known() bool {
	switch g {
	case orderedDict, rebuildTensor, rebuildParameter:
		return true
	}
	_, ok := storageTypes[g.name]
	return ok && g.module == "torch"
}

// kind names a value's type for messages. Values are not printed: they may be large.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case string:
		return "a text"
	case int64:
		return "a whole number"
	case float64:
		return "a number"
	case bool:
		return "a truth value"
	case tuple:
		return fmt.Sprintf("a tuple of %d", len(v))
	case *list:
		return "a list"
	case *dict:
		return "a dict"
	case *view:
		return "a tensor"
	case *storage:
		return "a storage"
	case global:
		return "the name " + v.String()
	}
	return "a mark"
}
