package checkpoint

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseRef_takesOnlyCheckpointsOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want bool
	}{
		"as written":           {`{"folder":"checkpoints/step-0000000010-abc","step":10}`, true},
		"another step":         {`{"folder":"checkpoints/step-0000000010-abc","step":11}`, false},
		"a negative step":      {`{"folder":"checkpoints/step--5-abc","step":-5}`, false},
		"an overflowing step":  {`{"folder":"checkpoints/step-9999999999999999999-abc","step":0}`, false},
		"outside":              {`{"folder":"checkpoints/step-1-a/../../../other","step":1}`, false},
		"another folder":       {`{"folder":"../checkpoints/step-1-a","step":1}`, false},
		"no number":            {`{"folder":"checkpoints/step-","step":0}`, false},
		"a slash at the end":   {`{"folder":"checkpoints/step-1-a/","step":1}`, false},
		"null":                 {`null`, false},
		"a step that is text":  {`{"folder":"checkpoints/step-1-a","step":"1"}`, false},
		"more than one object": {`{"folder":"checkpoints/step-1-a","step":1}{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseRef([]byte(c.raw)); (got != nil) != c.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// goodManifest lists all content.
func goodManifest(t testing.TB) string {
	m := Manifest{Step: 3, Objects: map[string]Seal{}}
	for _, name := range contentNames {
		m.Objects[name] = Seal{Size: 7, SHA256: strings.Repeat("a", 64)}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestParseManifest_saysWhatCannotBe(t *testing.T) {
	good := goodManifest(t)
	for name, c := range map[string]struct{ raw, want string }{
		"cut short":          {good[:20], "not a manifest"},
		"null":               {`null`, "lists no model.safetensors"},
		"a negative step":    {strings.Replace(good, `"step":3`, `"step":-3`, 1), "step is -3"},
		"an object missing":  {strings.Replace(good, `carry.`, `../`, 1), "lists no carry.safetensors"},
		"a negative size":    {strings.ReplaceAll(good, `"size":7`, `"size":-7`), "objects.model.safetensors: a size of -7"},
		"an impossible size": {strings.ReplaceAll(good, `"size":7`, `"size":99999999999999999999`), "not a manifest"},
		"no hash":            {strings.ReplaceAll(good, `aa`, ``), "cannot be"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseManifest([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add([]byte(`{"folder":"checkpoints/step-0000000010-abc","step":10}`))
	f.Add([]byte(`{"folder":"checkpoints/step-1-a/../../x","step":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ref := parseRef(raw)
		if ref == nil {
			return
		}
		if key := ref.key(manifestName); ref.Step < 0 || !strings.HasPrefix(key, folder+"step-") || path.Dir(key) != ref.Folder {
			t.Fatalf("%+v names %s", ref, key)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(goodManifest(f)))
	f.Add([]byte(`{"step":1,"objects":{"model.safetensors":{"size":-1}}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseManifest(raw)
		if err != nil {
			return
		}
		for _, name := range contentNames {
			if seal, ok := m.Objects[name]; !ok || seal.Size < 0 || m.Step < 0 {
				t.Fatalf("%s is %+v in step %d", name, seal, m.Step)
			}
		}
	})
}

func TestReadShapes_readsTheHeaderOnly(t *testing.T) {
	store, dir := openDir(t)
	save(t, archive(store, 0), 0, 3)
	ref := *Last(t.Context(), store)
	shapes, err := ReadShapes(t.Context(), store, ref)
	if err != nil || len(shapes) != 1 || !slices.Equal(shapes["w"], []int{2}) {
		t.Errorf("shapes %v, %v", shapes, err)
	}
	file := filepath.Join(dir, ref.Folder, "model.safetensors")
	for name, content := range map[string]string{
		"short":       "abc",
		"long header": "\xff\xff\xff\xff\xff\xff\xff\x7f{}",
		"no header":   "\x02\x00\x00\x00\x00\x00\x00\x00[]",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if shapes, err := ReadShapes(t.Context(), store, ref); err == nil {
			t.Errorf("%s: shapes %v", name, shapes)
		}
	}
}
