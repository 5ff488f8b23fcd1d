package report

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestBarChart_showsSharesAndWhyThereIsNone(t *testing.T) {
	half, all := 0.5, 1.0
	chart := &BarChart{Title: "Halting", X: "exact", Bars: []NamedShare{{Name: "a < b", Share: &half}, {Name: "c", Share: &all}, {Name: "d", Note: "failed"}}}
	svg := chart.StandaloneSVG()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("no XML: %v\n%s", err, svg)
		}
	}
	for _, want := range []string{`width="154.0" height="14"`, `width="308.0" height="14"`, "50.0 %", "failed", "a &lt; b"} {
		if !strings.Contains(svg, want) {
			t.Errorf("%q is not in\n%s", want, svg)
		}
	}
	if got, want := chart.Describe(), "Halting: exact. a < b: 50.0 %. c: 100.0 %. d: failed."; got != want {
		t.Errorf("described as %q, want %q", got, want)
	}
}

func TestChart_givesDoublingsTheSameRoom(t *testing.T) {
	chart := &Chart{Title: "t", X: "segments", Percent: true, Doubling: true, Series: []Series{{Name: "a", X: []float64{1, 2, 8}, Y: []float64{0, 0.5, 1}, Dots: true}}}
	svg := chart.StandaloneSVG()
	for place, x := range map[string]string{"1": "62.0", "2": "223.3", "8": "546.0"} {
		if want := `x="` + x + `" y="225">` + place + `</text>`; !strings.Contains(svg, want) {
			t.Errorf("%s is not at %s\n%s", place, x, svg)
		}
	}
	if chart.Series[0].X[1] != 2 {
		t.Error("drawing changes the chart")
	}
}
