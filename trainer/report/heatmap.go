package report

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
)

// heatmapSize is about how many pixels a map is wide.
const heatmapSize = 330

// WriteHeatmaps draws square maps [n,n] of values from 0 on as PNG, four beside each other: the darker a point, the nearer its
// root is to that of the largest value of its map, so that small values are seen beside large ones. Rows are drawn from above.
func WriteHeatmaps(w io.Writer, maps [][]float32, n int) error {
	cell := max(1, heatmapSize/max(1, n))
	columns := min(4, max(1, len(maps)))
	rows := (len(maps) + columns - 1) / columns
	step := n*cell + gap
	img := image.NewRGBA(image.Rect(0, 0, columns*step+gap, rows*(step+caption)+gap))
	draw.Draw(img, img.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	for i, values := range maps {
		x, y := gap+i%columns*step, gap+i/columns*(step+caption)+caption
		write(img, x, y-6, "head "+compact(float64(i+1)), slate)
		paintHeat(img, values, n, x, y, cell)
	}
	return png.Encode(w, img)
}

func paintHeat(img *image.RGBA, values []float32, n, x, y, cell int) {
	most := float32(0)
	for _, v := range values {
		most = max(most, v)
	}
	for i, v := range values {
		at := image.Rect(0, 0, cell, cell).Add(image.Pt(x+i%n*cell, y+i/n*cell))
		draw.Draw(img, at, image.NewUniform(heat(v, most)), image.Point{}, draw.Src)
	}
}

// heat is between white and a dark blue.
func heat(v, most float32) color.RGBA {
	if !(most > 0) || !(v > 0) {
		return white
	}
	share := math.Sqrt(float64(v / most))
	fade := func(dark uint8) uint8 { return uint8(255 - share*float64(255-dark)) }
	return color.RGBA{fade(0x0b), fade(0x2a), fade(0x5c), 255}
}
