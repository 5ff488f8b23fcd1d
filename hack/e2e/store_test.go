package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// puzzles are real Sudokus under an open licence.
const puzzles = "trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz"

func s3() (*minio.Client, error) {
	return minio.New(strings.TrimPrefix(cluster.endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"), ""),
	})
}

func uploadPuzzles() error {
	ctx := context.Background()
	store, err := s3()
	if err != nil {
		return err
	}
	if exists, err := store.BucketExists(ctx, bucket); err != nil {
		return err
	} else if !exists {
		if err := store.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
			return err
		}
	}
	_, err = store.FPutObject(ctx, bucket, puzzlesKey, puzzles, minio.PutObjectOptions{})
	return err
}

// putObject writes an object of the test bucket.
func putObject(ctx context.Context, key, content string) error {
	store, err := s3()
	if err != nil {
		return err
	}
	_, err = store.PutObject(ctx, bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	return err
}

func getJSON(ctx context.Context, key string, into any) error {
	store, err := s3()
	if err != nil {
		return err
	}
	object, err := store.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(object)
	if err := errors.Join(err, object.Close()); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return json.Unmarshal(raw, into)
}

// seals are the checksums of a checkpoint's objects.
type seals struct {
	Step  int64
	Model string // the weights
	Carry string // the rows in work, the random states, the position in the dataset
}

// lastCheckpoint reads the seals of the checkpoint that latest.json below a prefix names.
func lastCheckpoint(ctx context.Context, prefix string) (seals, error) {
	var latest struct{ Folder string }
	if err := getJSON(ctx, prefix+"/latest.json", &latest); err != nil {
		return seals{}, err
	}
	var manifest struct {
		Step    int64
		Objects map[string]struct{ SHA256 string }
	}
	if err := getJSON(ctx, prefix+"/"+latest.Folder+"/manifest.json", &manifest); err != nil {
		return seals{}, err
	}
	return seals{manifest.Step, manifest.Objects["model.safetensors"].SHA256, manifest.Objects["carry.safetensors"].SHA256}, nil
}
