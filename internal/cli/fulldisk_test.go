//go:build linux

package cli

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// fewPuzzles is a source that is smaller than a checkpoint.
func fewPuzzles(t *testing.T) string {
	t.Helper()
	all, err := os.Open("../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	plain, err := gzip.NewReader(all)
	if err != nil {
		t.Fatal(err)
	}
	var few strings.Builder
	for lines := bufio.NewScanner(plain); lines.Scan() && few.Len() < 5000; {
		few.WriteString(lines.Text() + "\n")
	}
	path := filepath.Join(t.TempDir(), "puzzles.csv")
	if err := os.WriteFile(path, []byte(few.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// onFullDisk starts training into store by a process that may write no file of more than 512*blocks bytes, which is how
// a full disk looks to it.
func onFullDisk(t *testing.T, store string, blocks int, more ...string) *process {
	t.Helper()
	source := fewPuzzles(t)
	job := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(job, fmt.Appendf(nil, bucketJob, source, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-c", fmt.Sprintf(`ulimit -S -f %d; exec "$0" "$@"`, blocks), os.Args[0], "train", "-f", job,
		"--store", store, "--scratch", t.TempDir(), "--device", "reference", "--set", "training.steps=60", "--set", "dataset.testFraction=0.1"}, more...)
	cmd := exec.Command("sh", args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return startProcess(t, cmd)
}

// Checkpoints that find no room are saved when there is some, and training goes on meanwhile.
func TestTrain_goesOnWhileTheDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	p := onFullDisk(t, dir, 32)
	if !p.hears("could not be saved, training goes on") {
		t.Fatalf("the disk did not fill:\n%s", p.said())
	}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
	if code := p.code(); code != exitDone || !p.hears("free space, raise the quota, or choose another directory") {
		t.Errorf("ends with %d:\n%s", code, p.said())
	}
	store, err := objectstore.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	state, _, err := checkpoint.NewArchive(store, checkpoint.Options{}).Latest(t.Context(), func(note string) { t.Error(note) })
	if err != nil || state == nil || state.Step != 60 {
		t.Errorf("the last checkpoint is %v, %v", state, err)
	}
}

// Without room for the dataset there is nothing to train on.
func TestTrain_namesTheDirectoryThatHasNoRoomForTheDataset(t *testing.T) {
	p := onFullDisk(t, t.TempDir(), 1)
	if code := p.code(); code == exitDone || !p.hears("--scratch") {
		t.Errorf("ends with %d:\n%s", code, p.said())
	}
}

func TestTrain_namesTheCacheThatHasNoRoomForTheDataset(t *testing.T) {
	cache := t.TempDir()
	p := onFullDisk(t, t.TempDir(), 12, "--dataset-cache", cache, "--set", "dataset.augmentations=50") // the source fits
	if code := p.code(); code != exitInternal || !p.hears("no space is left in the dataset cache "+cache) {
		t.Errorf("ends with %d:\n%s", code, p.said())
	}
}
