package maze

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

const (
	question = "S #" + "  #" + " G "
	answer   = "So#" + " o#" + " G "
	other    = "S #" + "oo#" + " G " // as short
)

func table(lines ...string) string {
	return "source,question,answer,rating\n" + strings.Join(lines, "\n") + "\n"
}

func TestParse_readsThePublishedForm(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(table("a," + question + "," + answer + ",3")))
	_ = z.Close()
	if got, err := Parse(t.Context(), "f.csv", strings.NewReader(table("a,"+question+","+other+",3"))); err != nil || got[0].Answer.String() != other {
		t.Errorf("got %v, %v: another shortest path must be taken as it is", got, err)
	}
	for name, text := range map[string]string{
		"published":          table("a," + question + "," + answer + ",3"),
		"gzip":               packed.String(),
		"other columns":      "Answer,Question\r\n" + answer + "," + question + "\r\n",
		"quotes":             table(`"a, b","` + question + `","` + answer + `",3`),
		"no answers":         "question\n" + question + "\n",
		"an empty answer":    table("a," + question + ",,"),
		"blank lines":        "\n" + table("", "a,"+question+","+answer+",3", ""),
		"a mark at the head": "\xef\xbb\xbf" + table("a,"+question+","+answer+",3"),
	} {
		t.Run(name, func(t *testing.T) {
			mazes, err := Parse(t.Context(), "f.csv", strings.NewReader(text))
			if err != nil || len(mazes) != 1 || mazes[0].Question.String() != question || mazes[0].Answer.String() != answer {
				t.Errorf("got %v, %v", mazes, err)
			}
		})
	}
}

func TestParse_namesTheLineOfWhatIsWrong(t *testing.T) {
	good := "a," + question + "," + answer + ",3"
	for _, c := range []struct {
		name, text string
		line       int
		reason     string
	}{
		{"nothing", "", 0, "holds no maze"},
		{"a header only", table(), 0, "holds no maze"},
		{"no header", good, 1, "put source,question,answer,rating above the mazes"},
		{"too few columns", table(good, "a,b"), 3, "has 2 columns, expected at least 3"},
		{"an open quote", table(`"a,` + question), 2, "not a line of CSV"},
		{"a short grid", table("a," + question[1:] + "," + answer + ",3"), 2, "question: 8 characters: expected a square of 2x2 to 64x64"},
		{"an unknown character", table("a,S #  #xG ," + answer), 2, `question: row 3 column 1 is 'x'`},
		{"two starts", table("a,S #S # G ," + answer), 2, "question: 2 starts (S): expected one"},
		{"no goal", table("a,S #  #   ," + answer), 2, "question: 0 goals (G): expected one"},
		{"a path in the question", table("a," + answer + "," + answer + ",3"), 2, "question: a path (o) is in it already"},
		{"no way", table("a," + "S #" + "###" + " G " + ",,3"), 2, "question: no way leads from start to goal"},
		{"an answer with other walls", table(good, "a,"+question+","+"So#"+" o "+" G "+",3"), 3, `answer: 1 cells of the maze are changed, the first at row 2 column 3`},
		{"an answer with a gap", table("a," + question + "," + "S #" + " o#" + " G " + ",3"), 2, "answer: the path has a gap after row 1 column 1: correct it, or leave it empty"},
		{"a long answer", table("a," + "S  " + "   " + "G  " + "," + "Soo" + "  o" + "Goo" + ",3"), 2, "answer: the path is 4 cells longer than the shortest, which has 3"},
		{"another size", table(good, "a,SG  ,SG  ,3"), 3, "the maze is 2x2, the first of the file 3x3"},
		{"an endless line", table(good, strings.Repeat("#", 1<<20)), 3, "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mazes, err := Parse(t.Context(), "f.csv", strings.NewReader(c.text))
			var bad *dataerror.Error
			if !errors.As(err, &bad) || bad.Source != "f.csv" || bad.Line != c.line || !strings.Contains(bad.Reason, c.reason) {
				t.Errorf("got %v and %v, want line %d and %q", mazes, err, c.line, c.reason)
			}
		})
	}
}

func TestParse_stopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Parse(ctx, "f", strings.NewReader(table("a,"+question+","+answer+",3"))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(table("a," + question + "," + answer + ",3"))
	f.Add("question\n" + question + "\nSG  \n")
	f.Add("\x1f\x8b\x08")
	f.Add("\"a\nb\",question")
	f.Add(table("", "a,\""+question+"\",,"))
	f.Fuzz(func(t *testing.T, text string) {
		mazes, err := parse(context.Background(), "f", strings.NewReader(text), 1<<19)
		var bad *dataerror.Error
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%v is not a data error", err)
		}
		for _, m := range mazes {
			if j := Judge(m.Question, m.Answer); !j.Shortest {
				t.Fatalf("line %d: a wrong answer got through: %s", m.Line, j.Why)
			}
		}
	})
}

func FuzzParseText(f *testing.F) {
	f.Add("S#..\n..#.\n#...\n...G", 4)
	f.Add("SG  ", 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		if size < MinSize || size > MaxSize {
			t.Skip()
		}
		g, err := ParseText(text, size)
		if err != nil {
			return
		}
		again, err := ParseText(g.Draw(), size)
		if err != nil || !bytes.Equal(again.Cells, g.Cells) {
			t.Fatalf("%q is drawn as %q, which is read as %q: %v", text, g.Draw(), again.Draw(), err)
		}
	})
}
