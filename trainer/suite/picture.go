package suite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// Picture is an SVG file.
type Picture interface{ StandaloneSVG() string }

// Picture shows the measure of all runs that have finished, and names the others: over the segments of the evaluation if they are several, or else over an axis of at
// least three numbers, or else as bars.
func (s *Suite) Picture(results []Result) Picture {
	if segments := s.segments(results); len(segments) > 1 {
		return s.overSegments(results, segments)
	}
	for axis := range s.Spec.Matrix {
		if chart := s.overAxis(results, axis); chart != nil {
			return chart
		}
	}
	return s.bars(results)
}

// measure is that of the runs' jobs.
func (s *Suite) measure(results []Result) measure {
	if len(results) == 0 {
		return measureOf("")
	}
	return measureOf(results[0].Metric)
}

// label names a run by its values, without those of one axis.
func (s *Suite) label(r *Result, without int) string {
	var parts []string
	for i, axis := range s.Spec.Matrix {
		value := r.Values[string(axis.Axis)]
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			value = string(axis.Axis) + " " + value
		}
		if i != without {
			parts = append(parts, value)
		}
	}
	return strings.Join(parts, ", ")
}

func (s *Suite) chart(x string, m measure, places []float64) *report.Chart {
	lo, hi := slices.Min(places), slices.Max(places)
	return &report.Chart{Title: s.Title(), X: x, Y: m.name + ", held out", Percent: true, Doubling: lo > 0 && hi >= 4*lo}
}

// looks are how many colours there are before dashes tell series apart.
const looks = 6

func (s *Suite) overSegments(results []Result, segments []int) *report.Chart {
	places := make([]float64, len(segments))
	for i, n := range segments {
		places[i] = float64(n)
	}
	m := s.measure(results)
	chart := s.chart("segments in evaluation", m, places)
	for i := range results {
		series := report.Series{Name: s.label(&results[i], -1), Colour: i, Dash: i / looks, Dots: true}
		for _, n := range segments {
			if v := m.after(&results[i], n); v != nil {
				series.X, series.Y = append(series.X, float64(n)), append(series.Y, *v)
			}
		}
		chart.Series = append(chart.Series, series)
	}
	chart.X += s.absent(results, func(r *Result) bool { return m.after(r, segments[0]) == nil })
	return chart
}

// absent names the runs that a chart cannot show, and says why.
func (s *Suite) absent(results []Result, is func(*Result) bool) string {
	var list []string
	for i := range results {
		if is(&results[i]) {
			list = append(list, fmt.Sprintf("%s (%s)", s.label(&results[i], -1), results[i].stateText()))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "; without " + strings.Join(list, ", ")
}

// overAxis draws lines over an axis; nil if its values are no numbers, fewer than three, or not there for all other values.
func (s *Suite) overAxis(results []Result, axis int) *report.Chart {
	var places []float64
	for _, v := range s.Spec.Matrix[axis].Values {
		x, err := strconv.ParseFloat(string(v.Name), 64)
		if err != nil {
			return nil
		}
		places = append(places, x)
	}
	if len(places) < 3 {
		return nil
	}
	name := string(s.Spec.Matrix[axis].Axis)
	m := s.measure(results)
	chart := s.chart(name, m, places)
	runs := map[string]int{}
	for i := range results {
		r := &results[i]
		label := s.label(r, axis)
		at := slices.IndexFunc(chart.Series, func(one report.Series) bool { return one.Name == label })
		if at < 0 {
			at = len(chart.Series)
			chart.Series = append(chart.Series, report.Series{Name: label, Colour: at, Dash: at / looks, Dots: true})
		}
		runs[label]++
		if v := m.end(r); v != nil {
			x, _ := strconv.ParseFloat(r.Values[name], 64) // a number, as all of the axis
			chart.Series[at].X, chart.Series[at].Y = append(chart.Series[at].X, x), append(chart.Series[at].Y, *v)
		}
	}
	for _, n := range runs {
		if n < len(places) {
			return nil
		}
	}
	chart.X += s.absent(results, func(r *Result) bool { return m.end(r) == nil })
	return chart
}

func (s *Suite) bars(results []Result) *report.BarChart {
	m := s.measure(results)
	chart := &report.BarChart{Title: s.Title(), X: fmt.Sprintf("%s, held out", m.name)}
	for i := range results {
		r := &results[i]
		chart.Bars = append(chart.Bars, report.NamedShare{Name: s.label(r, -1), Share: m.end(r), Note: r.stateText()})
	}
	return chart
}
