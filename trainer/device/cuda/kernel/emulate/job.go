package emulate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os/exec"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

// Job is what the device does at once: launches in order, over buffers.
type Job struct {
	// Seed draws the order of blocks and threads. If it is odd, one warp of a block runs as far as it gets before the next begins.
	Seed uint64
	// Buffers are what kernel.Buffer arguments mean; nil is a buffer that no launch may name. Run overwrites them with the
	// results.
	Buffers [][]byte
	// Fault is the fault word.
	Fault uint32
}

// Run executes the work. Any access outside of a buffer, unaligned access, deadlock or undefined behaviour is an error.
func (d *Device) Run(j *Job, work ...kernel.Work) error {
	e := encoder{device: d, job: j, tables: map[*kernel.Table]int{}}
	if err := e.encode(work); err != nil {
		return err
	}
	p, err := d.process()
	if err != nil {
		return err
	}
	if err := p.do(e.message.Bytes(), e.answers()); err != nil {
		return err
	}
	j.Fault = binary.LittleEndian.Uint32(e.blocks[e.fault])
	d.mutex.Lock()
	d.idle = append(d.idle, p)
	d.mutex.Unlock()
	return nil
}

// process takes an idle process, or starts one.
func (d *Device) process() (*process, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if n := len(d.idle); n > 0 {
		p := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return p, nil
	}
	return start(d.exe)
}

// process is a running driver.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     io.Reader
	errors  bytes.Buffer
}

func start(exe string) (*process, error) {
	p := &process{command: exec.Command(exe)}
	p.command.Stderr = &p.errors
	var err error
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("emulation: %w", err)
	}
	if p.out, err = p.command.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("emulation: %w", err)
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("emulation: %w", err)
	}
	return p, nil
}

// do sends a message and reads the answer. After an error the process is gone.
func (p *process) do(message []byte, answer [][]byte) error {
	_, err := p.in.Write(message)
	for _, b := range answer {
		if err == nil {
			_, err = io.ReadFull(p.out, b)
		}
	}
	if err != nil {
		p.kill()
		return fmt.Errorf("emulation: %w\n%s", err, p.errors.Bytes())
	}
	return nil
}

func (p *process) kill() {
	_ = p.in.Close()
	_ = p.command.Wait()
}

// encoder writes a job as driver.cc reads it. Blocks are the job's buffers, the fault word, scratch memory of each work,
// and tables.
type encoder struct {
	device   *Device
	job      *Job
	blocks   [][]byte
	fault    int
	tables   map[*kernel.Table]int
	pointers []pointer
	launches bytes.Buffer
	message  bytes.Buffer
}

// pointer says that byte at of a block holds the address of another.
type pointer struct{ block, at, target int }

func (e *encoder) encode(work []kernel.Work) error {
	e.blocks = append(e.blocks, e.job.Buffers...)
	e.fault = e.block(binary.LittleEndian.AppendUint32(nil, e.job.Fault))
	n := 0
	for _, w := range work {
		scratch := e.block(bytes.Repeat([]byte{0xff}, w.Scratch))
		for i := range w.Launches {
			if err := e.launch(&w.Launches[i], scratch); err != nil {
				return err
			}
			n++
		}
	}
	m := &e.message
	put(m, e.job.Seed)
	put(m, uint32(len(e.blocks)))
	for _, b := range e.blocks {
		put(m, uint64(len(b)))
		m.Write(b)
	}
	put(m, uint32(len(e.pointers)))
	for _, p := range e.pointers {
		put(m, uint32(p.block))
		put(m, uint64(p.at))
		put(m, uint32(p.target))
	}
	put(m, uint32(n))
	m.Write(e.launches.Bytes())
	return nil
}

// answers are the memory of all blocks; the device sends them back in order.
func (e *encoder) answers() [][]byte { return e.blocks }

func (e *encoder) block(b []byte) int {
	e.blocks = append(e.blocks, b)
	return len(e.blocks) - 1
}

func (e *encoder) table(t *kernel.Table) int {
	if at, ok := e.tables[t]; ok {
		return at
	}
	at := e.block(bytes.Clone(t.Bytes))
	e.tables[t] = at
	for _, p := range t.Pointers {
		e.pointers = append(e.pointers, pointer{at, p.At, p.Buffer})
	}
	return at
}

func (e *encoder) launch(l *kernel.Launch, scratch int) error {
	path, err := e.device.Compile(l.File, l.Defines)
	if err != nil {
		return err
	}
	w := &e.launches
	for _, s := range []string{path, l.Kernel} {
		put(w, uint32(len(s)))
		w.WriteString(s)
	}
	put(w, l.Grid)
	put(w, l.Block)
	put(w, uint32(l.SharedBytes))
	put(w, uint32(len(l.Args)))
	for i, a := range l.Args {
		if err := e.argument(a, scratch); err != nil {
			return fmt.Errorf("kernel %s: argument %d: %w", l.Kernel, i, err)
		}
	}
	return nil
}

func (e *encoder) argument(a kernel.Arg, scratch int) error {
	switch a := a.(type) {
	case kernel.Buffer:
		if int(a) < 0 || int(a) >= len(e.job.Buffers) || e.job.Buffers[a] == nil {
			return fmt.Errorf("there is no buffer %d", a)
		}
		e.address(int(a), 0)
	case kernel.Scratch:
		e.address(scratch, int(a))
	case kernel.Fault:
		e.address(e.fault, 0)
	case *kernel.Table:
		e.address(e.table(a), 0)
	case kernel.Null:
		e.scalar(8, 0)
	case kernel.Int32:
		e.scalar(4, uint64(uint32(a)))
	case kernel.Int64:
		e.scalar(8, uint64(a))
	case kernel.Uint64:
		e.scalar(8, uint64(a))
	case kernel.Float32:
		e.scalar(4, uint64(math.Float32bits(float32(a))))
	case kernel.Float64:
		e.scalar(8, math.Float64bits(float64(a)))
	default:
		return fmt.Errorf("%T is no kind of argument", a)
	}
	return nil
}

func (e *encoder) address(block, offset int) {
	put(&e.launches, uint32(0))
	put(&e.launches, uint64(block))
	put(&e.launches, uint64(offset))
}

func (e *encoder) scalar(size uint32, bits uint64) {
	put(&e.launches, size)
	put(&e.launches, bits)
}

// put appends x, little-endian.
func put(w io.Writer, x any) {
	// Buffers accept every write.
	_ = binary.Write(w, binary.LittleEndian, x)
}
