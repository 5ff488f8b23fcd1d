package report

import (
	"bytes"
	"image/png"
	"testing"
)

// The largest value is darkest, nothing is white, and maps stand beside each other.
func TestWriteHeatmaps(t *testing.T) {
	var b bytes.Buffer
	if err := WriteHeatmaps(&b, [][]float32{{0, 1, 0.25, 0}, {0, 0, 0, 0}}, 2); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	cell := heatmapSize / 2
	light := func(x, y int) uint32 { r, _, _, _ := img.At(gap+x*cell+5, gap+caption+y*cell+5).RGBA(); return r >> 8 }
	if none, all, quarter := light(0, 0), light(1, 0), light(0, 1); none != 255 || all != 0x0b || quarter != 133 {
		t.Errorf("0, 1 and 1/4 are %d, %d and %d", none, all, quarter)
	}
	if w := img.Bounds().Dx(); w != 2*(2*cell+gap)+gap {
		t.Errorf("two maps are %d wide", w)
	}
	if err := WriteHeatmaps(&b, nil, 0); err != nil {
		t.Errorf("no map: %v", err)
	}
}
