package main

import (
	"fmt"
	"sync"
	"time"
)

// timer says how long each stage took. Stages may run side by side.
type timer struct {
	start time.Time
	mu    sync.Mutex
	lines []string
}

func newTimer() *timer { return &timer{start: time.Now()} }

// stage announces, runs and times one part of the demo.
func (t *timer) stage(name string, do func() error) error {
	begin := time.Now()
	fmt.Printf("==> %s\n", name)
	err := do()
	took := time.Since(begin).Seconds()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%7.1fs  %s", took, name))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Printf("<== %s: %.1fs\n", name, took)
	return nil
}

func (t *timer) summary() {
	fmt.Println("\nHow long each stage took (the first ones ran side by side):")
	for _, line := range t.lines {
		fmt.Println(line)
	}
	fmt.Printf("%7.1fs  in all\n", time.Since(t.start).Seconds())
}
