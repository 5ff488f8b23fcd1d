package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// Kind is the kind of the document. No cluster knows it.
const Kind = "HRMSuite"

// The bounds of a suite.
const (
	// MaxBytes bounds the document.
	MaxBytes = 1 << 20
	// MaxRuns bounds the combinations of a matrix: more than that is a slip sooner than a plan.
	MaxRuns = 500
	// maxSegments is what evaluation.segments of a job may be, too.
	maxSegments = 1024
)

// Suite is a base job and a matrix of changes to it.
type Suite struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        Metadata `json:"metadata"`
	Spec            Spec     `json:"spec"`
}

// Metadata names a suite.
type Metadata struct {
	// Name begins the names of all jobs.
	Name string `json:"name"`
	// Namespace of the jobs; the one that the command line or the kubeconfig says if empty.
	Namespace string `json:"namespace,omitempty"`
	// Labels that all jobs get, such as the name of a queue.
	Labels map[string]string `json:"labels,omitempty"`
}

// Spec says what is to be settled, and how.
type Spec struct {
	// Title is a heading, Question a sentence that the runs are to settle, and Claim what has been reported, by whom.
	Title    string `json:"title,omitempty"`
	Question string `json:"question,omitempty"`
	Claim    string `json:"claim,omitempty"`

	// Base is the job that all runs share, and BaseFile a job's YAML in its place, relative to the suite's file.
	Base     *v1alpha1.HRMTrainingJobSpec `json:"base,omitempty"`
	BaseFile string                       `json:"baseFile,omitempty"`
	// Set changes fields of the base for all runs.
	Set Changes `json:"set,omitempty"`

	// Matrix has an axis for each thing that changes. Every combination of their values, one of each, is a run.
	Matrix []Axis `json:"matrix"`
	// Exclude leaves out the combinations that match one of its elements.
	Exclude []Match `json:"exclude,omitempty"`
	// Adjust changes fields of the combinations that match, after all their values have.
	Adjust []Adjustment `json:"adjust,omitempty"`
	// Evaluate is what is measured of every trained model.
	Evaluate Evaluate `json:"evaluate,omitempty"`
}

// Changes are values of fields by their paths below the job's spec, as in model.act.halting. null unsets a field.
type Changes map[string]json.RawMessage

// Axis is one thing that changes.
type Axis struct {
	Axis   Name    `json:"axis"`
	Values []Value `json:"values"`
}

// Value is a place on an axis. Without changes it is the base.
type Value struct {
	Name Name    `json:"name"`
	Set  Changes `json:"set,omitempty"`
}

// Match matches the combinations that have all its values, which are by axis.
type Match map[string]Name

// Adjustment is what some combinations need: a field that only one architecture has, say.
type Adjustment struct {
	Where Match   `json:"where"`
	Set   Changes `json:"set"`
}

// Evaluate says what is measured of every trained model, besides what it has measured itself.
type Evaluate struct {
	// Segments are numbers of segments to read the answers off at.
	Segments []int `json:"segments,omitempty"`
	// MaxExamples of the held-out set that are used; as many as in training if 0.
	MaxExamples int `json:"maxExamples,omitempty"`
}

// Name is a part of jobs' names and labels. A number needs no quotes.
type Name string

// UnmarshalJSON takes texts and numbers.
func (n *Name) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		*n = Name(text)
		return nil
	}
	var number json.Number
	if err := json.Unmarshal(raw, &number); err != nil {
		return fmt.Errorf("%s is no name, though y, on and yes are true to YAML: write it in quotes", raw)
	}
	*n = Name(number.String())
	return nil
}

// Parse reads a suite from YAML or JSON, strictly: an unknown field is an error.
func Parse(raw []byte) (*Suite, error) {
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("the suite is larger than %d bytes", MaxBytes)
	}
	var s Suite
	if err := yaml.UnmarshalStrict(raw, &s); err != nil {
		return nil, fmt.Errorf("not a suite: %w", err)
	}
	if s.APIVersion != v1alpha1.GroupVersion.String() || s.Kind != Kind {
		return nil, fmt.Errorf("want apiVersion %s and kind %s, not %q and %q", v1alpha1.GroupVersion, Kind, s.APIVersion, s.Kind)
	}
	return &s, s.validate()
}

func (s *Suite) validate() error {
	if err := checkName("metadata.name", Name(s.Metadata.Name)); err != nil {
		return err
	}
	if (s.Spec.Base == nil) == (s.Spec.BaseFile == "") {
		return errors.New("spec takes either base, a job's spec, or baseFile, the name of a job's YAML: set one of them")
	}
	if len(s.Spec.Matrix) == 0 {
		return errors.New("spec.matrix is empty: name an axis with the values to compare")
	}
	runs := 1
	for i, axis := range s.Spec.Matrix {
		if err := axis.validate(fmt.Sprintf("spec.matrix[%d]", i)); err != nil {
			return err
		}
		if slices.ContainsFunc(s.Spec.Matrix[:i], func(other Axis) bool { return other.Axis == axis.Axis }) {
			return fmt.Errorf("spec.matrix[%d].axis: %s is there twice: rename one of them", i, axis.Axis)
		}
		if runs *= len(axis.Values); runs > MaxRuns {
			return fmt.Errorf("spec.matrix has more than %d combinations: split the suite", MaxRuns)
		}
	}
	return errors.Join(s.validateMatches(), s.Spec.Evaluate.validate())
}

func (a *Axis) validate(path string) error {
	if err := checkName(path+".axis", a.Axis); err != nil {
		return err
	}
	if len(a.Values) == 0 {
		return fmt.Errorf("%s (%s) has no values: name some", path, a.Axis)
	}
	for i, v := range a.Values {
		if err := checkName(fmt.Sprintf("%s.values[%d].name", path, i), v.Name); err != nil {
			return err
		}
		if slices.ContainsFunc(a.Values[:i], func(other Value) bool { return other.Name == v.Name }) {
			return fmt.Errorf("%s (%s) has the value %s twice: rename one of them", path, a.Axis, v.Name)
		}
	}
	return nil
}

// validateMatches checks what chooses combinations.
func (s *Suite) validateMatches() error {
	for i, m := range s.Spec.Exclude {
		if err := s.validateMatch(m); err != nil {
			return fmt.Errorf("spec.exclude[%d]: %w", i, err)
		}
	}
	for i, a := range s.Spec.Adjust {
		if err := s.validateMatch(a.Where); err != nil {
			return fmt.Errorf("spec.adjust[%d].where: %w", i, err)
		}
	}
	return nil
}

func (s *Suite) validateMatch(m Match) error {
	if len(m) == 0 {
		return errors.New("it is empty, and would match all: name values by their axes")
	}
	for axis, value := range m {
		if err := s.checkValue(axis, string(value)); err != nil {
			return err
		}
	}
	return nil
}

// checkValue says whether an axis has a value.
func (s *Suite) checkValue(axis, value string) error {
	i := s.axis(axis)
	if i < 0 {
		return fmt.Errorf("there is no axis %s; there are %s", axis, strings.Join(s.Axes(), ", "))
	}
	var known []string
	for _, v := range s.Spec.Matrix[i].Values {
		known = append(known, string(v.Name))
	}
	if !slices.Contains(known, value) {
		return fmt.Errorf("axis %s has no value %s; there are %s", axis, value, strings.Join(known, ", "))
	}
	return nil
}

// axis is the number of an axis; -1 if there is none of the name.
func (s *Suite) axis(name string) int {
	return slices.IndexFunc(s.Spec.Matrix, func(a Axis) bool { return string(a.Axis) == name })
}

// Axes are the names of the axes.
func (s *Suite) Axes() []string {
	list := make([]string, len(s.Spec.Matrix))
	for i, a := range s.Spec.Matrix {
		list[i] = string(a.Axis)
	}
	return list
}

func (e *Evaluate) validate() error {
	for _, n := range e.Segments {
		if n < 1 || n > maxSegments {
			return fmt.Errorf("spec.evaluate.segments must be from 1 to %d, not %d", maxSegments, n)
		}
	}
	if e.MaxExamples < 0 {
		return fmt.Errorf("spec.evaluate.maxExamples must be at least 1, not %d", e.MaxExamples)
	}
	return nil
}

// checkName says why a name can be no part of a job's name.
func checkName(path string, name Name) error {
	if problems := validation.IsDNS1123Label(string(name)); len(problems) > 0 {
		return fmt.Errorf("%s %q must be of lower-case letters, digits and dashes, to be a part of jobs' names", path, name)
	}
	return nil
}
