package graph

import (
	"reflect"
	"unsafe"
)

// indexed is how many more nodes a graph knows the places of whenever it runs out of them.
const indexed = 1 << 12

// index tells Gorgonia (v0.9.18) where its next nodes will be. It numbers nodes in the order of its list, but looks through the whole
// list whenever it meets one for the first time, so that the time to build a graph grows with the square of its length: half a minute
// for a network of a hundred thousand nodes. The table that spares it the search is its own and cannot be reached otherwise; a version that
// has another one is left to search.
func (g *Graph) index() {
	n := len(g.Gorgonia.AllNodes())
	if n+indexed/2 < g.known {
		return
	}
	field := reflect.ValueOf(g.Gorgonia).Elem().FieldByName("byID")
	if !field.IsValid() || field.Type() != reflect.TypeFor[map[int64]int]() {
		return
	}
	places := *(*map[int64]int)(unsafe.Pointer(field.UnsafeAddr()))
	for ; g.known < n+indexed; g.known++ {
		places[int64(g.known)] = g.known
	}
}
