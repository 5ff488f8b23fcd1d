//go:build onednn && cgo && linux

package cpu

// Available reports whether this program was built with the device.
func Available() error { return nil }
