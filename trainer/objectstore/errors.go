package objectstore

import "errors"

// The kinds of trouble that a store can have, for [errors.Is]. An error that is none of them, and neither ErrNotFound nor
// ErrPrecondition, is of an unknown kind.
var (
	// ErrNotFound says that there is no object under the key.
	ErrNotFound = errors.New("object not found")
	// ErrPrecondition says that the object exists already, or has changed since its ETag was read.
	ErrPrecondition = errors.New("object was written by someone else")

	// ErrUnavailable says that the store cannot be reached, does not answer in time, or is overloaded: try again later.
	ErrUnavailable = errors.New("store unavailable")
	// ErrFull says that the store has no room for the object: free space and try again.
	ErrFull = errors.New("store full")

	// ErrDenied says that the store does not accept the credentials, or does not let them do this.
	ErrDenied = errors.New("access to the store denied")
	// ErrNoBucket says that there is no such bucket.
	ErrNoBucket = errors.New("no such bucket")
	// ErrUntrusted says that no trusted TLS connection to the endpoint is possible.
	ErrUntrusted = errors.New("store not trusted")
	// ErrKey says that a key or a prefix could leave the store, or names different objects in different stores.
	ErrKey = errors.New("bad key")
)

// Transient reports whether the same request may succeed later without anyone changing the job.
func Transient(err error) bool { return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFull) }

// Permanent reports whether a request fails until someone changes the job, its credentials or its bucket.
func Permanent(err error) bool {
	for _, kind := range []error{ErrDenied, ErrNoBucket, ErrUntrusted, ErrKey} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// failure is an error of a known kind, whose text names the object and the remedy.
type failure struct {
	kind  error
	text  string
	cause error // may be nil
}

func (f *failure) Error() string {
	if f.cause == nil {
		return f.text
	}
	return f.text + ": " + f.cause.Error()
}

func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}
