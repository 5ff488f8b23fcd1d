package cli

import (
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is what standard output can show.
type screen struct {
	width  int
	colour bool
}

// screenOf looks at what is written to: a file or a pipe is wide and has no colours, and neither does a terminal of a user
// who set NO_COLOR (no-color.org).
func screenOf(out io.Writer) screen {
	s := screen{width: 160}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return s
	}
	s.colour = os.Getenv("NO_COLOR") == ""
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
		s.width = width
	}
	return s
}

// escapes are the terminal's commands in a text, which take no room.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

func columns(line string) int { return utf8.RuneCountInString(escapes.ReplaceAllString(line, "")) }

// sideBySide draws two pictures beside each other, or one above the other where the screen is too narrow.
func sideBySide(left, right string, width int) string {
	a, b := linesOf(left), linesOf(right)
	most, other := widest(a), widest(b)
	const between = 5
	if most+between+other > width {
		return strings.Join(a, "\n") + "\n" + strings.Repeat(" ", max(0, most/2-1)) + "|\n" + strings.Repeat(" ", max(0, most/2-1)) + "v\n" + strings.Join(b, "\n") + "\n"
	}
	var s strings.Builder
	for i := range max(len(a), len(b)) {
		line, middle := "", "     "
		if i < len(a) {
			line = a[i]
		}
		if i == (max(len(a), len(b))-1)/2 {
			middle = " --> "
		}
		s.WriteString(line + strings.Repeat(" ", most-columns(line)) + middle)
		if i < len(b) {
			s.WriteString(b[i])
		}
		s.WriteByte('\n')
	}
	return s.String()
}

func linesOf(picture string) []string { return strings.Split(strings.TrimSuffix(picture, "\n"), "\n") }

func widest(lines []string) int {
	most := 0
	for _, line := range lines {
		most = max(most, columns(line))
	}
	return most
}
