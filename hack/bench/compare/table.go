package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// table is what is measured: flags that both programs take.
var table = [][]string{
	{"--batch", "32"},
	{"--batch", "2", "--seq", "900"},
	{"--hidden", "128", "--batch", "64"},
	{"--batch", "8", "--dtype", "float32"},
	{"--batch", "64", "--eval", "--steps", "3"},
}

// machine is where it is measured.
type machine struct {
	processor string
	cores     int
	memoryGiB int
}

func thisMachine() machine {
	first := func(file, pattern string) string {
		raw, _ := os.ReadFile(file)
		if found := regexp.MustCompile(pattern).FindSubmatch(raw); found != nil {
			return string(found[1])
		}
		return "unknown"
	}
	m := machine{processor: first("/proc/cpuinfo", `model name\s*: (.*)`), cores: runtime.GOMAXPROCS(0)}
	var kib int
	if _, err := fmt.Sscan(first("/proc/meminfo", `MemTotal:\s*(\d+)`), &kib); err == nil {
		m.memoryGiB = (kib + 1<<19) >> 20
	}
	return m
}

// render writes the page.
func render(m machine, day time.Time, rounds int, rows []comparison, profile map[string]map[string]float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Speed on the processor

Written by `+"`make bench PEER=hrm_torch.py`"+` on %s: %d cores of %s, %d GiB. Each row is one run of
`+"`go run ./hack/bench/compare -- FLAGS`"+`: both programs in turn, %d times each, medians. The peer is the same training step in PyTorch
(%s, with OpenBLAS where the system has it); ours is %s. The default is the published model: hidden 512, 8 heads, 4 layers,
bfloat16, sequence 81. "Products alone" is what oneDNN reaches in large matrix products in the same process (`+"`hrm bench --ceiling`"+`).

| flags | samples/s | peer's | ratio | GFLOP/s | peer's | of products alone | peak MiB | peer's | first step s | Go heap bytes/step |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`, day.Format(time.DateOnly), m.cores, m.processor, m.memoryGiB, rounds, rows[0].peers.Peer, rows[0].ours.Peer)
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | %.2f | %.2f | %.2f | %.0f | %.0f | %.0f %% of %.0f | %d | %d | %.1f | %d |\n", strings.Join(r.flags, " "), r.ours.SamplesPerSecond,
			r.peers.SamplesPerSecond, r.ratio(), r.ours.GFLOPS, r.peers.GFLOPS,
			100*r.ours.GFLOPS/r.ours.ProductGFLOPS, r.ours.ProductGFLOPS, r.ours.PeakRSSMiB, r.peers.PeakRSSMiB, r.ours.FirstStepSeconds, r.ours.HeapBytes)
	}
	b.WriteString("\nShares of the time of a step, in percent (`hrm bench --profile FLAGS` says more).\n\n| |")
	for _, flags := range table {
		fmt.Fprintf(&b, " `%s` |", strings.Join(flags, " "))
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(table)) + "\n")
	for _, op := range operations(profile) {
		fmt.Fprintf(&b, "| %s |", op)
		for _, flags := range table {
			fmt.Fprintf(&b, " %.1f |", 100*profile[strings.Join(flags, " ")][op])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// operations lists those that take more than a thousandth anywhere, the largest first.
func operations(profile map[string]map[string]float64) []string {
	most := map[string]float64{}
	for _, shares := range profile {
		for op, share := range shares {
			most[op] = max(most[op], share)
		}
	}
	maps.DeleteFunc(most, func(_ string, share float64) bool { return share < 0.001 })
	return slices.SortedFunc(maps.Keys(most), func(a, b string) int {
		if most[a] != most[b] {
			if most[a] > most[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
}
