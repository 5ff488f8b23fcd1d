package cli

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInspect_countsAndDraws(t *testing.T) {
	dir := t.TempDir()
	picture, page := filepath.Join(dir, "sheet.png"), filepath.Join(dir, "sheet.html")
	out, problems, status := ask(t, "", "data", "inspect", trainedData(t), "--split", "test", "--index", "3", "--png", picture, "--html", page, "--examples", "5")
	if status != 0 {
		t.Fatalf("ends with %d\n%s", status, problems)
	}
	for _, want := range []string{
		": task Sudoku\n", "train       6       12        12      81     11            1\n", " test      20       20        20      81     11            1\n",
		"train                      81                   2                     1\n", "1  .  ", "test 3, input and label\n+-------+",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	raw, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(raw)); err != nil || img.Bounds().Dx() < 200 {
		t.Errorf("the picture: %v", err)
	}
	raw, err = os.ReadFile(page)
	if err != nil || bytes.Count(raw, []byte("<svg")) != 10 {
		t.Errorf("the page: %d boards of 5 examples, %v", bytes.Count(raw, []byte("<svg")), err)
	}
	for _, elsewhere := range []string{"http://", "https://", "<script", "url("} {
		if bytes.Contains(raw, []byte(elsewhere)) {
			t.Errorf("the page is not self-contained: it has %s", elsewhere)
		}
	}
}

// A dataset of an unknown task, with hostile names, is counted and drawn all the same.
func TestInspect_takesDatasetsOfUnknownTasks(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	out, problems, status := ask(t, "", "data", "inspect", otherData(t, "<blank>", "<script>alert(1)</script>"), "--html", page, "--index", "1")
	if status != 0 || !strings.Contains(out, "task Custom") || !strings.Contains(out, "2, 3.0, 4") || !strings.Contains(out, "train 1 <script>") {
		t.Errorf("ends with %d\n%s%s", status, out, problems)
	}
	raw, err := os.ReadFile(page)
	if err != nil || bytes.Contains(raw, []byte("<script")) || !bytes.Contains(raw, []byte("&lt;script")) {
		t.Errorf("the page has the name as it stands: %v", err)
	}
}

func TestInspect_refusesWhatCannotBe(t *testing.T) {
	broken := otherData(t)
	if err := os.WriteFile(filepath.Join(broken, "_COMPLETE.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no dataset":             {[]string{t.TempDir()}, exitData, "missing"},
		"a broken manifest":      {[]string{broken}, exitData, "_COMPLETE.json"},
		"an example of a number": {[]string{otherData(t), "--index", "2"}, exitUsage, "has 2 examples"},
		"a third half":           {[]string{otherData(t), "--split", "all"}, exitUsage, "want train or test"},
		"no examples":            {[]string{otherData(t), "--examples", "0"}, exitUsage, "--examples 0"},
		"no place":               {[]string{otherData(t), "--png", filepath.Join(t.TempDir(), "none", "x.png")}, exitUsage, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems, status := ask(t, "", append([]string{"data", "inspect"}, row.args...)...)
			if status != row.status || !strings.Contains(problems, row.says) {
				t.Errorf("ends with %d, want %d and words about %q\n%s", status, row.status, row.says, problems)
			}
		})
	}
}
