package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// stageOf is a stage of a Dockerfile.
type stageOf struct {
	base         string
	instructions [][]string // words, flags among them
}

// with returns the stage's instructions of a kind.
func (s stageOf) with(kind string) [][]string {
	return slices.DeleteFunc(slices.Clone(s.instructions), func(words []string) bool { return words[0] != kind })
}

// readDockerfile returns the project's stages by name.
func readDockerfile(t *testing.T) map[string]stageOf {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	must(t, err)
	stages := map[string]stageOf{}
	current := ""
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "FROM":
			if len(words) != 4 || words[2] != "AS" || stages[words[3]].base != "" {
				t.Fatalf("want FROM BASE AS NAME, each name once: %s", line)
			}
			current = words[3]
			stages[current] = stageOf{base: words[1]}
		default:
			s := stages[current]
			s.instructions = append(s.instructions, words)
			stages[current] = s
		}
	}
	return stages
}

func TestDockerfile_makesEveryImage(t *testing.T) {
	stages := readDockerfile(t)
	for target := range projectImages {
		if _, ok := stages[target]; !ok {
			t.Errorf("there is no target %s", target)
		}
	}
	bases := append(slices.Collect(maps.Keys(stages)), "scratch", strings.TrimPrefix(debianBase, "docker.io/library/"), strings.TrimPrefix(golangBase, "docker.io/library/"))
	for name, s := range stages {
		if !slices.Contains(bases, s.base) {
			t.Errorf("stage %s begins with %s, which a machine without a registry does not have", name, s.base)
		}
	}
}

// The trainer for GPUs is the trainer: the same program, user and entry point, and CUDA's libraries beside it.
func TestDockerfile_addsLibrariesToTheTrainerForGPUs(t *testing.T) {
	stages := readDockerfile(t)
	cuda := stages["cuda"]
	if cuda.base != "trainer" {
		t.Errorf("target cuda begins with %s", cuda.base)
	}
	for _, words := range cuda.instructions {
		added := words[0] == "ENV" || slices.Equal(words, []string{"COPY", "--from=cuda-libraries", "/opt/cuda", "/opt/cuda"})
		if !added {
			t.Errorf("target cuda changes more of the trainer: %v", words)
		}
	}
	libraries := stages["cuda-libraries"]
	arguments := libraries.with("ARG")
	for _, name := range []string{"NVRTC", "CUBLAS", "NCCL"} {
		pinned := regexp.MustCompile("^" + name + `=[a-z0-9-]+==[0-9.]+$`)
		if !slices.ContainsFunc(arguments, func(words []string) bool { return pinned.MatchString(words[1]) }) {
			t.Errorf("no version of %s is pinned in %v", name, arguments)
		}
		if !slices.ContainsFunc(libraries.with("RUN"), func(words []string) bool { return slices.Contains(words, `"$`+name+`"`) }) {
			t.Errorf("%s is not installed", name)
		}
	}
}

// What the Dockerfile copies must exist, and a change of it must build the images anew.
func TestDockerfile_copiesWhatIsWatched(t *testing.T) {
	stages := readDockerfile(t)
	for name, s := range stages {
		for _, words := range s.with("COPY") {
			if from, ok := strings.CutPrefix(words[1], "--from="); ok {
				if _, ok := stages[from]; !ok {
					t.Errorf("stage %s copies from %s, which is no stage", name, from)
				}
				continue
			}
			for _, source := range words[1 : len(words)-1] {
				if _, err := os.Stat(filepath.Join("../..", source)); err != nil {
					t.Error(err)
				}
				if !slices.Contains(imageSources, source) {
					t.Errorf("stage %s copies %s, which imageSources lacks", name, source)
				}
			}
		}
	}
}
