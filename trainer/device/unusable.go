package device

// UnusableError says that a device that was asked for cannot be opened, and why. Another try on the same machine ends the same way.
type UnusableError struct {
	// Device is its name, as Device.Name returns it.
	Device string
	// NotVisible says that there is none, as far as this process sees; else there is one that does not serve.
	NotVisible bool
	// Err is the cause, with the remedy.
	Err error
}

func (e *UnusableError) Error() string { return e.Err.Error() }

func (e *UnusableError) Unwrap() error { return e.Err }
