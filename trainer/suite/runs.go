package suite

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/fieldpath"
)

// Run is a combination of a suite's matrix.
type Run struct {
	// Values are the names of its values, one of each axis.
	Values []string
	// Job has its defaults.
	Job *v1alpha1.HRMTrainingJob
	// Place is where it lies below the place that all suites share: SUITE/RUN.
	Place string
}

// Name is the job's name.
func (r *Run) Name() string { return r.Job.Name }

// Runs makes a job of every combination that is not excluded, the last axis changing first. override, which may be nil, is
// called with each spec when everything else of it is set.
func (s *Suite) Runs(override func(*v1alpha1.HRMTrainingJobSpec) error) ([]Run, error) {
	if s.Spec.Base == nil {
		return nil, fmt.Errorf("suite %s: spec.baseFile %s has not been read", s.Metadata.Name, s.Spec.BaseFile)
	}
	var runs []Run
	var errs []error
	names := map[string]bool{}
	for _, values := range s.combinations() {
		if s.excluded(values) {
			continue
		}
		run, err := s.run(values, override)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("run %s: %w", s.runName(values), err))
		case names[run.Name()]:
			errs = append(errs, fmt.Errorf("run %s: another combination has the same name: rename a value", run.Name()))
		}
		if err == nil {
			names[run.Name()] = true
			runs = append(runs, run)
		}
	}
	switch {
	case len(errs) > 1:
		return nil, fmt.Errorf("%w (the first of %d runs that are wrong)", errs[0], len(errs))
	case len(errs) == 1:
		return nil, errs[0]
	case len(runs) == 0:
		return nil, errors.New("spec.exclude leaves no run: remove some of it")
	}
	return runs, nil
}

// combinations are the values of every combination, one of each axis.
func (s *Suite) combinations() [][]Value {
	total := 1
	for _, axis := range s.Spec.Matrix {
		total *= len(axis.Values)
	}
	list := make([][]Value, total)
	for n := range list {
		values, rest := make([]Value, len(s.Spec.Matrix)), n
		for i, axis := range slices.Backward(s.Spec.Matrix) {
			values[i], rest = axis.Values[rest%len(axis.Values)], rest/len(axis.Values)
		}
		list[n] = values
	}
	return list
}

func (s *Suite) excluded(values []Value) bool {
	return slices.ContainsFunc(s.Spec.Exclude, func(m Match) bool { return s.matches(m, values) })
}

func (s *Suite) matches(m Match, values []Value) bool {
	for axis, name := range m {
		if values[s.axis(axis)].Name != name {
			return false
		}
	}
	return true
}

func (s *Suite) runName(values []Value) string {
	name := s.Metadata.Name
	for _, v := range values {
		name += "-" + string(v.Name)
	}
	return name
}

// run makes the job of a combination.
func (s *Suite) run(values []Value, override func(*v1alpha1.HRMTrainingJobSpec) error) (Run, error) {
	name := s.runName(values)
	r := Run{Place: path.Join(s.Metadata.Name, name), Job: &v1alpha1.HRMTrainingJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Metadata.Namespace, Labels: s.labels(values)},
		Spec:       *s.Spec.Base.DeepCopy(),
	}}
	for _, v := range values {
		r.Values = append(r.Values, string(v.Name))
	}
	if err := v1alpha1.CheckName(name); err != nil {
		return r, err
	}
	if err := s.change(&r.Job.Spec, values); err != nil {
		return r, err
	}
	if override != nil {
		if err := override(&r.Job.Spec); err != nil {
			return r, err
		}
	}
	r.Job.Spec.Storage.Prefix = path.Join(r.Job.Spec.Storage.Prefix, r.Place)
	r.Job.Default()
	return r, r.Job.Validate()
}

// labels are those of a combination's job.
func (s *Suite) labels(values []Value) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, s.Metadata.Labels)
	labels[v1alpha1.SuiteLabel] = s.Metadata.Name
	for i, v := range values {
		labels[v1alpha1.SuiteAxisLabelPrefix+string(s.Spec.Matrix[i].Axis)] = string(v.Name)
	}
	return labels
}

// change makes the base's spec that of a combination: by what is set for all, then by its values, then by what adjusts it.
func (s *Suite) change(spec *v1alpha1.HRMTrainingJobSpec, values []Value) error {
	if err := s.Spec.Set.apply(spec); err != nil {
		return fmt.Errorf("spec.set: %w", err)
	}
	for i, v := range values {
		if err := v.Set.apply(spec); err != nil {
			return fmt.Errorf("%s=%s: set %w", s.Spec.Matrix[i].Axis, v.Name, err)
		}
	}
	for i, a := range s.Spec.Adjust {
		if !s.matches(a.Where, values) {
			continue
		}
		if err := a.Set.apply(spec); err != nil {
			return fmt.Errorf("spec.adjust[%d]: set %w", i, err)
		}
	}
	return nil
}

// apply sets fields, a whole before its parts.
func (c Changes) apply(spec *v1alpha1.HRMTrainingJobSpec) error {
	for _, field := range slices.Sorted(maps.Keys(c)) {
		if err := fieldpath.SetJSON(spec, field, c[field]); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	return nil
}

// Select returns the runs that have, on every axis that only names, one of the values that it names: as in halting=fixed.
func (s *Suite) Select(runs []Run, only []string) ([]Run, error) {
	wanted := map[int][]string{}
	for _, one := range only {
		axis, value, ok := strings.Cut(one, "=")
		if !ok {
			return nil, fmt.Errorf("%s: want axis=value", one)
		}
		if err := s.checkValue(axis, value); err != nil {
			return nil, err
		}
		i := s.axis(axis)
		wanted[i] = append(wanted[i], value)
	}
	var selected []Run
	for _, r := range runs {
		matches := true
		for i, values := range wanted {
			matches = matches && slices.Contains(values, r.Values[i])
		}
		if matches {
			selected = append(selected, r)
		}
	}
	if len(selected) == 0 {
		return nil, fmt.Errorf("%s: the suite excludes all these runs", strings.Join(only, ", "))
	}
	return selected, nil
}
