// Command bomcheck fails if a CycloneDX file does not list what a Go program was built from. It owns that comparison: the
// build information in the program is what the list must agree with.
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bomcheck FILE.cdx.json PROGRAM")
		os.Exit(2)
	}
	n, err := run(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintf(os.Stderr, "bomcheck: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Printf("%s lists %d components, among them all that %s was built from\n", os.Args[1], n, os.Args[2])
}

// run returns the number of components listed.
func run(file, program string) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return 0, fmt.Errorf("read how %s was built: %w", program, err)
	}
	return check(f, info)
}

// check compares a list with how a program was built, and returns the number of components listed.
func check(r io.Reader, info *debug.BuildInfo) (int, error) {
	bom := &cdx.BOM{}
	if err := json.NewDecoder(r).Decode(bom); err != nil {
		return 0, fmt.Errorf("it is not the JSON of CycloneDX: %w", err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.Metadata == nil || bom.Metadata.Component == nil || bom.Components == nil {
		return 0, errors.New("it has no format, no subject or no components")
	}
	if subject := bom.Metadata.Component; subject.Name != info.Main.Path || subject.Version == "" {
		return 0, fmt.Errorf("its subject is %q in version %q, want a version of %s", subject.Name, subject.Version, info.Main.Path)
	}
	listed := map[string]string{}
	for _, c := range *bom.Components {
		if c.Name == "" || c.Version == "" || c.PackageURL == "" {
			return 0, fmt.Errorf("component %q has version %q and package URL %q: all three must be there", c.Name, c.Version, c.PackageURL)
		}
		listed[c.Name] = c.Version
	}
	if want := strings.TrimPrefix(info.GoVersion, "go"); strings.TrimPrefix(listed["std"], "go") != want {
		return 0, fmt.Errorf("the standard library is listed in version %q, the program was built with %q", listed["std"], want)
	}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		if listed[module.Path] != module.Version {
			return 0, fmt.Errorf("%s is listed in version %q, the program was built from %s", module.Path, listed[module.Path], module.Version)
		}
	}
	return len(*bom.Components), nil
}
