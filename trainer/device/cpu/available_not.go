//go:build !(onednn && cgo && linux)

package cpu

import "errors"

// Available reports whether this program was built with the device.
func Available() error {
	return errors.New("the cpu device is not in this program: build it on linux with cgo and `-tags onednn` (needs gcc and libdnnl-dev)")
}
