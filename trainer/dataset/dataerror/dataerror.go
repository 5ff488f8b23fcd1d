// Package dataerror is the error that every part of the dataset code returns for bad data, as opposed to a store that
// is down or a disk that is full. The command line ends with the exit code for bad data when it finds one, and the
// operator then does not try again.
package dataerror

import "fmt"

// Error says what is wrong with the data, and where.
type Error struct {
	// Source is the file, URL or object that the data came from.
	Source string
	// Line counts from 1; 0 means that the whole source is meant.
	Line int
	// Reason says what is wrong and, where that is not obvious, what to do about it.
	Reason string
}

// New describes what is wrong with a line of a source, or with the whole source if line is 0.
func New(source string, line int, format string, args ...any) *Error {
	return &Error{Source: source, Line: line, Reason: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.Source, e.Line, e.Reason)
	}
	return fmt.Sprintf("%s: %s", e.Source, e.Reason)
}
