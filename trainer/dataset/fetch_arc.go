package dataset

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/arc"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// fetchARC fetches a collection of ARC tasks: a folder of them, or one file. What follows a # in the URI names the sets
// of the collection that are wanted, with commas between; without it, it is all of them but those that may lack answers.
//
// A file's role is its set and its name. A file of answers follows the one that it belongs to.
func (f *fetcher) fetchARC(ctx context.Context, uri string) error {
	uri, wanted := cutSets(uri)
	err := f.fetchARCFile(ctx, uri, wanted)
	if err == nil || !missing(err) {
		return err
	}
	folder := strings.TrimSuffix(uri, "/")
	names, err := f.files.List(ctx, folder)
	if errors.Is(err, errors.ErrUnsupported) {
		return dataerror.New(sourceName(uri), 0, "no such file; a folder must be one that can be listed, in a bucket or on a disk: correct dataset.source")
	}
	if err != nil {
		return err
	}
	files := arc.Files(path.Base(folder), names)
	if len(files) == 0 {
		return dataerror.New(sourceName(uri), 0, "no such file, nor a folder with ARC tasks, *.json or *_challenges.json: correct dataset.source")
	}
	if files, err = chooseSets(sourceName(uri), files, wanted); err != nil {
		return err
	}
	for _, file := range files {
		if err := f.fetch(ctx, folder+"/"+file.Name, path.Join(file.Set, path.Base(file.Name))); err != nil {
			return err
		}
		if file.Solutions == "" {
			continue
		}
		if err := f.fetch(ctx, folder+"/"+file.Solutions, path.Join(file.Set, path.Base(file.Solutions))); err != nil {
			return err
		}
	}
	return nil
}

// fetchARCFile fetches one file, and the answers to it that lie beside it.
func (f *fetcher) fetchARCFile(ctx context.Context, uri string, wanted []string) error {
	set := arc.SetOf(sourceName(uri))
	if err := f.fetch(ctx, uri, path.Join(set, path.Base(sourceName(uri)))); err != nil {
		return err
	}
	if len(wanted) > 0 && !slices.Equal(wanted, []string{set}) {
		return dataerror.New(sourceName(uri), 0, "a file of the set %s, but %s is wanted: remove what follows the #", set, strings.Join(wanted, ","))
	}
	if !arc.IsCombined(sourceName(uri)) {
		return nil
	}
	solutions := arc.SolutionsOf(uri)
	_, err := f.fetchEither(ctx, solutions, path.Join(set, path.Base(solutions)))
	return err
}

// cutSets divides a URI at its last #.
func cutSets(uri string) (string, []string) {
	i := strings.LastIndexByte(uri, '#')
	if i < 0 {
		return uri, nil
	}
	return uri[:i], strings.FieldsFunc(uri[i+1:], func(r rune) bool { return r == ',' || r == ' ' })
}

// chooseSets keeps the files of the wanted sets.
func chooseSets(source string, files []arc.File, wanted []string) ([]arc.File, error) {
	var there []string
	for _, f := range files {
		if !slices.Contains(there, f.Set) {
			there = append(there, f.Set)
		}
	}
	if len(wanted) == 0 {
		wanted = slices.DeleteFunc(slices.Clone(there), arc.Unsolved)
		if len(wanted) == 0 {
			wanted = there
		}
	}
	for _, set := range wanted {
		if !slices.Contains(there, set) {
			return nil, dataerror.New(source, 0, "no set %s here: write # and some of %s after the URI", set, strings.Join(there, ","))
		}
	}
	return slices.DeleteFunc(files, func(f arc.File) bool { return !slices.Contains(wanted, f.Set) }), nil
}
