package torchfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

const (
	// maxPickle bounds a pickle: one tensor takes less than 200 bytes in it.
	maxPickle = 16 << 20
	// maxValues bounds what a pickle makes, and so the memory that a small hostile one can take.
	maxValues = 1 << 20
	// maxName bounds a text: the longest are the names of tensors.
	maxName = 4096
)

// machine interprets a pickle. It has no recursion, so that nesting costs it nothing.
type machine struct {
	code  []byte
	at    int
	stack []any
	memo  map[uint32]any
	made  int
}

// unpickle interprets one pickle at the beginning of code, and returns its value and its length.
func unpickle(code []byte) (any, int, error) {
	m := &machine{code: code, memo: map[uint32]any{}}
	value, err := m.run()
	if err != nil {
		return nil, 0, fmt.Errorf("pickle, byte %d: %w", m.at, err)
	}
	return value, m.at, nil
}

func (m *machine) run() (any, error) {
	if len(m.code) < 2 || m.code[0] != 0x80 || m.code[1] < 2 || m.code[1] > 5 {
		return nil, fmt.Errorf("this is no pickle of protocol 2 to 5")
	}
	for {
		op, err := m.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			break
		}
		if err := m.step(op[0]); err != nil {
			return nil, err
		}
	}
	if len(m.stack) != 1 {
		return nil, fmt.Errorf("it ends with %d values, want 1", len(m.stack))
	}
	return m.pop()
}

// take returns the next n bytes of the pickle.
func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.code)-m.at) {
		return nil, fmt.Errorf("it ends in the middle: the file is truncated")
	}
	m.at += int(n)
	return m.code[m.at-int(n) : m.at], nil
}

// number takes n bytes as a little-endian unsigned number.
func (m *machine) number(n uint64) (uint64, error) {
	raw, err := m.take(n)
	var wide [8]byte
	copy(wide[:], raw)
	return binary.LittleEndian.Uint64(wide[:]), err
}

func (m *machine) push(v any) error {
	if m.made++; m.made > maxValues {
		return fmt.Errorf("it makes more than %d values: that is no state dict", maxValues)
	}
	m.stack = append(m.stack, v)
	return nil
}

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, fmt.Errorf("it takes a value where there is none")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	if _, ok := v.(mark); ok {
		return nil, fmt.Errorf("it takes a mark for a value")
	}
	return v, nil
}

// popped is pop for a value of a certain type.
func popped[T any](m *machine, what string) (T, error) {
	v, err := m.pop()
	t, ok := v.(T)
	if err == nil && !ok {
		err = fmt.Errorf("%s where %s should be", kind(v), what)
	}
	return t, err
}

// top returns the value on top of the stack, which must be of a certain type, and leaves it there.
func top[T any](m *machine, what string) (T, error) {
	v, err := popped[T](m, what)
	if err == nil {
		m.stack = append(m.stack, v)
	}
	return v, err
}

// popMark returns a copy of the values above the last mark, and removes both.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			above := append([]any{}, m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return above, nil
		}
	}
	return nil, fmt.Errorf("it looks for a mark where there is none")
}

// step executes one instruction. Those that are missing here are not needed for a state dict; some of them make objects
// of classes.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		_, err := m.take(1)
		return err
	case 0x95: // FRAME
		_, err := m.take(8)
		return err
	case '(':
		return m.push(mark{})
	case '}':
		return m.push(&dict{})
	case ']':
		return m.push(&list{})
	case 'N':
		return m.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return m.push(op == 0x88)
	case 'K', 'M', 'J', 0x8a, 'G':
		return m.pushNumber(op)
	case 'X', 0x8c, 0x8d: // BINUNICODE of four, one and eight bytes of length
		return m.pushText(map[byte]uint64{'X': 4, 0x8c: 1, 0x8d: 8}[op])
	case ')', 0x85, 0x86, 0x87: // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3
		return m.pushTuple(map[byte]int{')': 0, 0x85: 1, 0x86: 2, 0x87: 3}[op])
	case 't':
		values, err := m.popMark()
		if err != nil {
			return err
		}
		return m.push(tuple(values))
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return m.pushGlobal(op)
	case 'q', 'r', 0x94, 'h', 'j':
		return m.remember(op)
	case 's', 'u', 'e', 'a', 'b':
		return m.fill(op)
	case 'Q':
		return m.persistent()
	case 'R':
		return m.reduce()
	}
	return fmt.Errorf("instruction %#02x (%q) is none that a state dict needs; %s", op, op, remedy)
}

// pushNumber pushes a whole number of one, two, four or up to eight bytes, or a float.
func (m *machine) pushNumber(op byte) error {
	size := map[byte]uint64{'K': 1, 'M': 2, 'J': 4, 'G': 8}[op]
	if op == 0x8a {
		n, err := m.number(1)
		if err != nil {
			return err
		}
		if n > 8 {
			return fmt.Errorf("a whole number of %d bytes is too large", n)
		}
		size = n
	}
	raw, err := m.take(size)
	if err != nil {
		return err
	}
	if op == 'G' {
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(raw)))
	}
	var wide [8]byte
	copy(wide[:], raw)
	n := int64(binary.LittleEndian.Uint64(wide[:]))
	if signed := op == 'J' || op == 0x8a; signed && size > 0 {
		unused := 64 - 8*size
		n = n << unused >> unused
	}
	return m.push(n)
}

func (m *machine) pushText(lengthBytes uint64) error {
	n, err := m.number(lengthBytes)
	if err != nil {
		return err
	}
	if n > maxName {
		return fmt.Errorf("a text of %d bytes is longer than the %d that a name may have", n, maxName)
	}
	raw, err := m.take(n)
	if err != nil {
		return err
	}
	if !utf8.Valid(raw) {
		return fmt.Errorf("a text is not UTF-8")
	}
	return m.push(string(raw))
}

func (m *machine) pushTuple(n int) error {
	values := make(tuple, n)
	for i := n - 1; i >= 0; i-- {
		v, err := m.pop()
		if err != nil {
			return err
		}
		values[i] = v
	}
	return m.push(values)
}

// pushGlobal pushes a name, if it is one that a state dict needs.
func (m *machine) pushGlobal(op byte) error {
	var g global
	var err error
	if op == 'c' {
		if g.module, err = m.line(); err == nil {
			g.name, err = m.line()
		}
	} else if g.name, err = popped[string](m, "a name"); err == nil {
		g.module, err = popped[string](m, "a module")
	}
	if err != nil {
		return err
	}
	if !g.known() {
		return fmt.Errorf("it refers to %.200q, which a state dict of tensors does not need; %s", g.String(), remedy)
	}
	return m.push(g)
}

// line takes a line of text.
func (m *machine) line() (string, error) {
	rest := m.code[m.at:min(len(m.code), m.at+maxName)]
	for i, c := range rest {
		if c == '\n' {
			m.at += i + 1
			return string(rest[:i]), nil
		}
	}
	return "", fmt.Errorf("a name has no end")
}

// remember puts the top of the stack into the memo, or a value of the memo onto the stack.
func (m *machine) remember(op byte) error {
	var index uint64
	var err error
	switch op {
	case 'q', 'h':
		index, err = m.number(1)
	case 'r', 'j':
		index, err = m.number(4)
	default: // MEMOIZE
		index = uint64(len(m.memo))
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := m.memo[uint32(index)]
		if !ok {
			return fmt.Errorf("it asks for value %d, which it has not kept", index)
		}
		return m.push(v)
	}
	v, err := m.pop()
	if err != nil {
		return err
	}
	m.stack = append(m.stack, v)
	m.memo[uint32(index)] = v
	return nil
}

// fill adds the values on top of the stack to the dict or the list below them.
func (m *machine) fill(op byte) error {
	var values []any
	var err error
	switch op {
	case 's':
		values, err = m.popTwo()
	case 'a', 'b':
		var v any
		v, err = m.pop()
		values = []any{v}
	default:
		values, err = m.popMark()
	}
	if err != nil {
		return err
	}
	if op == 'a' || op == 'e' {
		l, err := top[*list](m, "a list")
		if err == nil {
			l.items = append(l.items, values...)
		}
		return err
	}
	d, err := top[*dict](m, "a dict")
	if err != nil || op == 'b' {
		// BUILD sets attributes: those of a state dict are its modules' versions, which change nothing here.
		return err
	}
	return d.add(values)
}

func (m *machine) popTwo() ([]any, error) {
	second, err := m.pop()
	if err != nil {
		return nil, err
	}
	first, err := m.pop()
	return []any{first, second}, err
}

// add adds keys and values, one after the other.
func (d *dict) add(values []any) error {
	if len(values)%2 != 0 {
		return fmt.Errorf("a dict gets a key without a value")
	}
	for i := 0; i < len(values); i += 2 {
		d.items = append(d.items, item{values[i], values[i+1]})
	}
	return nil
}
