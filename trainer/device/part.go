package device

// Part is where a part of a value of two dimensions lies in it: Count times, Stride elements after one another, Length
// elements from element From on. Rows of the batch are among the times.
type Part struct{ Count, Length, Stride, From int }

// PartOf returns where part lies in whole, from index from along an axis on.
func PartOf(whole, part *Value, rows, axis, from int) Part {
	p := Part{Count: rows * whole.Shape[0], Length: part.Shape[1], Stride: whole.Shape[1], From: from}
	if axis == 0 {
		// Positions stand behind each other, so that all columns of several are one piece.
		p = Part{Count: rows, Length: part.Elements(), Stride: whole.Elements(), From: from * whole.Shape[1]}
	}
	return p
}
