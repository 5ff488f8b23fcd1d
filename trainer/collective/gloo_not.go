//go:build !(gloo && cgo && linux)

package collective

import "errors"

// Available reports whether this program was built with a transport.
func Available() error {
	return errors.New("training with several processes needs Gloo, which is not in this program: install libgloo-dev and g++, and build it on linux with cgo and `-tags gloo` (make build does); or set spec.nodes to 1")
}

func openTransport(string, int, int) (transport, error) { return nil, Available() }
