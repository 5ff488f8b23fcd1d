package torchfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// remedy is what to do about a file that holds more than tensors.
const remedy = `nothing of the file was executed; if you trust it, load it with PyTorch and save the weights alone: torch.save(model.state_dict(), "weights.pt")`

// maxReuse bounds how much larger the tensors may be than the file: views share their elements, and a hostile file makes
// gigabytes of a few bytes that way.
const maxReuse = 8

// ReadFile reads the tensors of a file that torch.save has written. What is wrong with its content is a
// [dataerror.Error].
func ReadFile(path string) (map[string]checkpoint.Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	tensors, err := Read(f, info.Size())
	var system *fs.PathError
	if err != nil && !errors.As(err, &system) {
		return nil, dataerror.New(path, 0, "%v", err)
	}
	return tensors, err
}

// Read reads the tensors of a file of size bytes by their names, contiguous and in host memory. Tensors that share a
// storage in the file may share memory here: they are to be read, not written.
func Read(r io.ReaderAt, size int64) (map[string]checkpoint.Tensor, error) {
	beginning := make([]byte, min(size, int64(len(legacyMagic))))
	if _, err := r.ReadAt(beginning, 0); err != nil && err != io.EOF {
		return nil, err
	}
	open := openLegacy
	switch {
	case bytes.HasPrefix(beginning, zipMagic):
		open = openZip
	case !bytes.HasPrefix(beginning, legacyMagic):
		return nil, fmt.Errorf("this is no file of torch.save: it begins with % x", beginning)
	}
	c, err := open(r, size)
	if err != nil {
		return nil, err
	}
	views, err := namedViews(c.root)
	if err != nil {
		return nil, err
	}
	return c.load(views, size)
}

// container is an opened file: what its pickle describes, and how to read the bytes of a storage.
type container struct {
	root any
	read func(*storage) ([]byte, error)
}

// namedView is an entry of the state dict.
type namedView struct {
	name string
	*view
}

// namedViews checks that a pickle's value is a dict of tensors.
func namedViews(root any) ([]namedView, error) {
	d, ok := root.(*dict)
	if !ok {
		return nil, fmt.Errorf("it holds %s, want a dict of tensors, as in torch.save(model.state_dict(), …)", kind(root))
	}
	var views []namedView
	seen := map[string]bool{}
	for _, i := range d.items {
		name, ok := i.key.(string)
		if !ok {
			return nil, fmt.Errorf("a key of its dict is %s, want names of tensors", kind(i.key))
		}
		v, ok := i.value.(*view)
		if !ok {
			return nil, fmt.Errorf("%.200q is %s, want tensors only: load the file with PyTorch and save the state dict alone, as in torch.save(model.state_dict(), …)", name, kind(i.value))
		}
		if seen[name] {
			return nil, fmt.Errorf("tensor %.200q is there twice", name)
		}
		seen[name] = true
		views = append(views, namedView{name, v})
	}
	return views, nil
}

// load reads the storages, each once, and takes the tensors out of them.
func (c *container) load(views []namedView, size int64) (map[string]checkpoint.Tensor, error) {
	left := size * maxReuse
	byStorage := map[string][]namedView{}
	var keys []string
	for _, v := range views {
		n, err := v.size()
		if err != nil {
			return nil, fmt.Errorf("tensor %.200q: %w", v.name, err)
		}
		if n > left {
			return nil, fmt.Errorf("its tensors take more than %d times the file's %d bytes: save them as their own, with tensor.clone()", maxReuse, size)
		}
		left -= n
		key := v.storage.key
		if byStorage[key] == nil {
			keys = append(keys, key)
		}
		if first := append(byStorage[key], v)[0].storage; *first != *v.storage {
			return nil, fmt.Errorf("tensor %.200q: storage %.80q has %d elements of %s here and %d of %s elsewhere", v.name, key,
				v.storage.elements, v.storage.dtype, first.elements, first.dtype)
		}
		byStorage[key] = append(byStorage[key], v)
	}
	tensors := map[string]checkpoint.Tensor{}
	for _, key := range keys {
		users := byStorage[key]
		raw, err := c.read(users[0].storage)
		if err != nil {
			return nil, fmt.Errorf("tensor %.200q: %w", users[0].name, err)
		}
		for _, v := range users {
			n, _ := v.size()
			tensors[v.name] = checkpoint.Tensor{DType: v.storage.dtype, Shape: v.shape, Data: v.gather(raw, n)}
			if err := tensors[v.name].Check(); err != nil {
				return nil, fmt.Errorf("tensor %.200q: %w", v.name, err)
			}
		}
	}
	return tensors, nil
}
