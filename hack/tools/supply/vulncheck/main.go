// Command vulncheck fails when a program calls code with a known vulnerability that nobody has accepted with a reason. It
// runs govulncheck and owns only the decision: what is called and not in the file of accepted ones, and what is in that
// file although it is no longer called, is a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/vuln/scan"
)

func main() {
	db := flag.String("db", "", "URL of the vulnerability database, such as file:///DIR")
	dir := flag.String("C", ".", "folder of the module to check")
	tags := flag.String("tags", "", "build tags, comma-separated")
	file := flag.String("accepted", "", "file of accepted vulnerabilities, a line each: ID and reason")
	flag.Parse()
	if err := run(*db, *dir, *tags, *file, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

func run(db, dir, tags, file string, patterns []string) error {
	if db == "" || len(patterns) == 0 {
		return errors.New("name a database with -db, and packages such as ./...")
	}
	accepted := map[string]string{}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the accepted vulnerabilities: %w", err)
		}
		if accepted, err = parseAccepted(string(text)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	found, err := check(context.Background(), db, dir, tags, patterns)
	if err != nil {
		return err
	}
	return judge(os.Stdout, found, accepted)
}

// check runs govulncheck on the packages and returns what it said.
func check(ctx context.Context, db, dir, tags string, patterns []string) (*report, error) {
	out, in := io.Pipe()
	command := scan.Command(ctx, append([]string{"-format", "json", "-db", db, "-C", dir, "-tags", tags}, patterns...)...)
	command.Stdout = in
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start govulncheck: %w", err)
	}
	go func() { in.CloseWithError(command.Wait()) }()
	found, err := readReport(out)
	if err != nil {
		return nil, fmt.Errorf("check %v with %s: %w", patterns, db, err)
	}
	return found, nil
}
