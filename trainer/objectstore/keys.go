package objectstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxKey is the longest key of an object, with its prefix, that S3 takes, in bytes; maxPart is the longest file name.
const maxKey, maxPart = 1024, 255

// checkKey refuses keys that would name different objects in a bucket and in a directory, or leave the store.
func checkKey(key string) error {
	if err := checkParts("key", key); err != nil {
		return err
	}
	if strings.HasPrefix(key, internalFolder+"/") || key == internalFolder {
		return badKey("key", key, "names below "+internalFolder+" are the store's own")
	}
	return nil
}

// CheckPrefix refuses a prefix that is no place for keys. Slashes around it do not count, and it may be empty.
func CheckPrefix(prefix string) error {
	if trimmed := strings.TrimSuffix(prefix, "/"); trimmed != "" {
		return checkParts("prefix", trimmed)
	}
	if prefix != "" {
		return badKey("prefix", prefix, "it must not be a slash")
	}
	return nil
}

// checkListPrefix refuses the beginning of keys if no key can begin so.
func checkListPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	// Any name may follow: one that makes the last part whole.
	return checkParts("prefix", prefix+"_")
}

func checkParts(what, key string) error {
	if len(key) > maxKey {
		return badKey(what, key[:40]+"…", fmt.Sprintf("it has %d bytes, more than %d", len(key), maxKey))
	}
	if !utf8.ValidString(key) {
		return badKey(what, key, "it is not UTF-8")
	}
	for part := range strings.SplitSeq(key, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return badKey(what, key, "its parts must not be empty, nor one or two dots")
		case len(part) > maxPart:
			return badKey(what, key[:40]+"…", fmt.Sprintf("one of its parts has %d bytes, more than %d", len(part), maxPart))
		case strings.ContainsFunc(part, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
			return badKey(what, key, "it must not have backslashes or control characters")
		}
	}
	return nil
}

func badKey(what, key, why string) error {
	return &failure{kind: ErrKey, text: fmt.Sprintf("%s %q: %s", what, key, why)}
}

// internalFolder holds a store's own files: temporary files, the lock, and probes.
const internalFolder = ".objectstore"

// ReadAll returns the content of an object that has at most limit bytes.
func ReadAll(ctx context.Context, s Store, key string, limit int64) ([]byte, Info, error) {
	r, info, err := s.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	defer r.Close()
	if info.Size > limit {
		return nil, info, fmt.Errorf("%s has %d bytes, more than the %d that it may have", s.URI(key), info.Size, limit)
	}
	raw, err := readExactly(r, info.Size)
	if err != nil {
		return nil, info, fmt.Errorf("read %s: %w", s.URI(key), err)
	}
	return raw, info, nil
}

// PutBytes stores content under key.
func PutBytes(ctx context.Context, s Store, key string, content []byte, c Condition) (Info, error) {
	return s.Put(ctx, key, bytes.NewReader(content), int64(len(content)), c)
}

// readExactly reads size bytes, but takes memory only as they arrive: a server may lie about the size.
func readExactly(r io.Reader, size int64) ([]byte, error) {
	const first = 1 << 20
	data := make([]byte, min(size, first))
	for done := int64(0); ; {
		n, err := io.ReadFull(r, data[done:])
		if done += int64(n); err != nil || done == size {
			return data[:done], err
		}
		grown := make([]byte, min(size, 2*done))
		copy(grown, data)
		data = grown
	}
}
