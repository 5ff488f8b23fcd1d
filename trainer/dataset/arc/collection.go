package arc

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// File is a file of tasks in a folder.
type File struct {
	// Name is the path below the folder.
	Name string
	// Set is the name of the tasks in it, which says what they are for.
	Set string
	// Solutions names the file with the answers; empty if the answers are in the file itself, or unknown.
	Solutions string
}

var (
	// heldOut matches the sets that are not trained on, but for their demonstrations.
	heldOut = regexp.MustCompile(`^(evaluation|test)[0-9]*$`)
	// unsolved matches the sets that may lack answers.
	unsolved = regexp.MustCompile(`^test[0-9]*$`)
)

// HeldOut reports whether a set's test pairs are held out: that of a set named evaluation or test, possibly with a number.
func HeldOut(set string) bool { return heldOut.MatchString(set) }

// Unsolved reports whether a set may come without the answers to its test inputs: one named test, possibly with a number.
func Unsolved(set string) bool { return unsolved.MatchString(set) }

const (
	challengesEnd = "_challenges"
	solutionsEnd  = "_solutions"
)

// stem is a name without .json or .json.gz; ok is false for a file that is neither.
func stem(name string) (string, bool) {
	return strings.CutSuffix(strings.TrimSuffix(name, ".gz"), ".json")
}

// IDOf is the name of the task in a file of its own.
func IDOf(name string) string {
	id, _ := stem(path.Base(name))
	return id
}

// IsCombined reports whether a file holds many tasks, by its name: …_challenges.json.
func IsCombined(name string) bool {
	s, ok := stem(name)
	return ok && strings.HasSuffix(s, challengesEnd)
}

// SolutionsOf is the name of the file with the answers to a combined file, without .gz.
func SolutionsOf(name string) string {
	s, _ := stem(name)
	return strings.TrimSuffix(s, challengesEnd) + solutionsEnd + ".json"
}

// SetOf is the set of a file: training of arc-agi_training_challenges.json, otherwise the name of its folder.
func SetOf(name string) string {
	if !IsCombined(name) {
		set := path.Base(path.Dir(name))
		if strings.Trim(set, "./") == "" {
			return "tasks" // of the folder that one is in
		}
		return set
	}
	s, _ := stem(path.Base(name))
	s = strings.TrimSuffix(s, challengesEnd)
	return s[strings.LastIndexByte(s, '_')+1:]
}

// Files picks the files of tasks out of the names below a folder, which itself has the name that base gives. If there are
// combined files, they are all there is. Of a file that is there both plain and compressed, the plain one is taken.
func Files(base string, names []string) []File {
	combined := slices.ContainsFunc(names, IsCombined)
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	var files []File
	for _, name := range names {
		if _, ok := stem(name); !ok || combined != IsCombined(name) || there[strings.TrimSuffix(name, ".gz")] && strings.HasSuffix(name, ".gz") {
			continue
		}
		f := File{Name: name, Set: SetOf(path.Join(base, name))}
		if combined {
			for _, suffix := range []string{".gz", ""} {
				if s := SolutionsOf(name) + suffix; there[s] {
					f.Solutions = s
				}
			}
		}
		files = append(files, f)
	}
	return files
}
