package kernel

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

//go:embed *.cu *.cuh
var sources embed.FS

var include = regexp.MustCompile(`(?m)^#include "([a-z_]+\.cuh)"\n`)

// Files returns the names of the kernel files, sorted.
func Files() []string {
	// Only a malformed pattern is an error.
	names, _ := fs.Glob(sources, "*.cu")
	return names
}

// StepFiles are those that a training step takes besides its program's: what is decided between segments, and the optimizers.
func StepFiles() []string { return []string{actFile, optimizerFile} }

// Source returns a kernel file as one text: the headers that it includes stand in their places.
//
// It is to be compiled as C++17 (--std=c++17) without --use_fast_math, whose divisions and square roots are not those of
// the reference, for compute capability 8.0 or later.
func Source(file string) (string, error) { return SourceWith(file, nil) }

// SourceWith is Source with other headers in the place of those of the same name.
func SourceWith(file string, headers map[string]string) (string, error) {
	read := func(name string) (string, error) {
		if text, ok := headers[name]; ok {
			return text, nil
		}
		return read(name)
	}
	return expand(file, read, map[string]bool{})
}

func read(file string) (string, error) {
	raw, err := sources.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("kernel source %s: %w", file, err)
	}
	return string(raw), nil
}

// expand puts every header in its first place and drops its later ones.
func expand(file string, read func(string) (string, error), seen map[string]bool) (string, error) {
	text, err := read(file)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	at := 0
	for _, m := range include.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(text[at:m[0]])
		at = m[1]
		header := text[m[2]:m[3]]
		if seen[header] {
			continue
		}
		seen[header] = true
		inner, err := expand(header, read, seen)
		if err != nil {
			return "", err
		}
		out.WriteString(inner)
	}
	out.WriteString(text[at:])
	return strings.ReplaceAll(out.String(), "#pragma once\n", ""), nil
}

var entry = regexp.MustCompile(`(?m)^KERNEL void (?:__launch_bounds__\([^)]*\) )?(\w+)\(`)

// Kernels returns the names of the entry points in a source.
func Kernels(source string) []string {
	var names []string
	for _, m := range entry.FindAllStringSubmatch(source, -1) {
		names = append(names, m[1])
	}
	return names
}
