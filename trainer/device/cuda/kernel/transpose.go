package kernel

import "fmt"

const (
	transposeFile = "transpose.cu"
	// transposeTile is TILE of transpose.cu.
	transposeTile = 32
	// maxGridZ is the largest number of blocks in the third dimension.
	maxGridZ = 65535
)

func transpose(c *call) error {
	x := c.in(0)
	d, t := last(x), x.Elements()/last(x)
	if c.rows > maxGridZ {
		return fmt.Errorf("%d rows are more than the %d of one launch: use a smaller batch per GPU", c.rows, maxGridZ)
	}
	tiles := [3]uint32{uint32(ceil(d, transposeTile)), uint32(ceil(t, transposeTile)), uint32(c.rows)}
	c.launch(transposeFile, "transpose", x.DType, tiles, [3]uint32{transposeTile, 8, 1}, transposeTile*(transposeTile+1)*x.DType.Size(),
		c.arg(0), c.result(), Int32(t), Int32(d))
	return nil
}
