package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

// suiteFlags choose the runs of a suite, and where they have their place.
type suiteFlags struct {
	file  string
	set   []string
	only  []string
	store string
}

func (f *suiteFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.file, "file", "f", "", "the suite's YAML; - reads standard input")
	c.Flags().StringArrayVar(&f.set, "set", nil, "set a field of every job's spec, whatever the suite says of it, as in training.steps=100; may be repeated")
	c.Flags().StringArrayVar(&f.only, "only", nil, "take the runs that have a value, as in halting=fixed; may be repeated")
}

func (a *app) suiteCommand() *cobra.Command {
	return group("suite", "Settle a question with several jobs: a base, and a matrix of changes to it", a.suiteRunCommand(), a.suiteCollectCommand())
}

// loadSuite reads a suite and makes the jobs of the chosen runs.
func (a *app) loadSuite(f suiteFlags) (*suite.Suite, []suite.Run, error) {
	if f.file == "" {
		return nil, nil, usageError{errors.New("no suite is named: give its YAML with -f")}
	}
	in, err := a.openInput(f.file)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = in.Close() }()
	raw, err := io.ReadAll(io.LimitReader(in, suite.MaxBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read the suite: %w", err)
	}
	wrong := func(err error) error { return configurationError{fmt.Errorf("%s: %w", f.file, err)} }
	s, err := suite.Parse(raw)
	if err != nil {
		return nil, nil, wrong(err)
	}
	if err := readBase(s, filepath.Dir(f.file)); err != nil {
		return nil, nil, wrong(err)
	}
	all, err := s.Runs(f.override())
	var usage usageError
	if errors.As(err, &usage) {
		return nil, nil, err
	}
	if err != nil {
		return nil, nil, wrong(err)
	}
	runs, err := s.Select(all, f.only)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--only %w", err)}
	}
	return s, runs, nil
}

// readBase puts the job of spec.baseFile, which is relative to dir, in the place of spec.base.
func readBase(s *suite.Suite, dir string) error {
	name := s.Spec.BaseFile
	if name == "" {
		return nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("spec.baseFile: %w", err)
	}
	defer func() { _ = file.Close() }()
	job, err := v1alpha1.Parse(file)
	if err != nil {
		return fmt.Errorf("spec.baseFile %s: %w", name, err)
	}
	s.Spec.Base = &job.Spec
	return nil
}

// override applies --set to a spec.
func (f *suiteFlags) override() func(*v1alpha1.HRMTrainingJobSpec) error {
	return func(spec *v1alpha1.HRMTrainingJobSpec) error {
		for _, s := range f.set {
			if err := applySet(spec, s); err != nil {
				return err
			}
		}
		return nil
	}
}

// place is where a run keeps its files: below --store, or "" where its job's own storage is meant.
func (f *suiteFlags) place(r suite.Run) string {
	if f.store == "" {
		return ""
	}
	return strings.TrimSuffix(f.store, "/") + "/" + r.Place
}
