package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/term"
)

// puzzles are real Sudokus under an open licence; the folder's README names it.
const puzzles = "trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz"

// puzzlesKey is where they lie in the bucket.
const puzzlesKey = prefix + "/puzzles.csv.gz"

// onCluster goes from the operator's installation to a solved puzzle.
func onCluster(ctx context.Context, t *timer, e environment) error {
	for _, stage := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"clear away an earlier demo's job", e.clear},
		{"put the puzzles into the bucket", e.upload},
		{"install the operator with helm", e.install},
	} {
		if err := t.stage(stage.name, func() error { return stage.do(ctx) }); err != nil {
			return err
		}
	}
	name, job, err := quickstart(e, "s3://"+e.bucket+"/"+puzzlesKey)
	if err != nil {
		return err
	}
	if err := t.stage("apply "+sample, func() error { return e.apply(ctx, job) }); err != nil {
		return err
	}
	terminal := term.IsTerminal(int(os.Stdout.Fd()))
	if err := t.stage("train", func() error { return e.follow(ctx, name, terminal) }); err != nil {
		return err
	}
	checkpoint := filepath.Join(workDir, "checkpoint")
	err = t.stage("pull the checkpoint out of the bucket", func() error {
		if err := os.RemoveAll(checkpoint); err != nil {
			return err
		}
		return e.show(ctx, "hrm", "checkpoint", "pull", "--store", e.store(), "--endpoint", e.endpoint, "--out", checkpoint)
	})
	if err != nil {
		return err
	}
	return judge(ctx, t, e, checkpoint, []string{"--store", e.store(), "--endpoint", e.endpoint})
}

// store is where the quickstart keeps its datasets and checkpoints.
func (e environment) store() string { return "s3://" + e.bucket + "/" + prefix }

// upload makes the bucket and puts the puzzles into it.
func (e environment) upload(ctx context.Context) error {
	host := regexp.MustCompile(`^https?://`).ReplaceAllString(e.endpoint, "")
	client, err := minio.New(host, &minio.Options{
		Creds:  credentials.NewStaticV4(e.variable("AWS_ACCESS_KEY_ID"), e.variable("AWS_SECRET_ACCESS_KEY"), ""),
		Secure: strings.HasPrefix(e.endpoint, "https://"),
	})
	if err != nil {
		return fmt.Errorf("endpoint %q: %w; set DEMO_S3_ENDPOINT", e.endpoint, err)
	}
	exists, err := client.BucketExists(ctx, e.bucket)
	if err != nil {
		return fmt.Errorf("bucket %s at %s: %w", e.bucket, e.endpoint, err)
	}
	if !exists {
		if err := client.MakeBucket(ctx, e.bucket, minio.MakeBucketOptions{}); err != nil {
			return fmt.Errorf("make bucket %s: %w", e.bucket, err)
		}
	}
	// An earlier demo's checkpoints would be resumed, and there would be nothing to see. Its dataset serves again.
	for _, trained := range []string{"/checkpoints/", "/latest.json", "/best.json", "/metrics.jsonl"} {
		for object := range client.ListObjects(ctx, e.bucket, minio.ListObjectsOptions{Prefix: prefix + trained, Recursive: true}) {
			if err := errors.Join(object.Err, client.RemoveObject(ctx, e.bucket, object.Key, minio.RemoveObjectOptions{})); err != nil {
				return fmt.Errorf("remove what the last demo trained: %w", err)
			}
		}
	}
	_, err = client.FPutObject(ctx, e.bucket, puzzlesKey, puzzles, minio.PutObjectOptions{})
	return err
}

// show runs a tool and prints what it prints.
func (e environment) show(ctx context.Context, program string, args ...string) error {
	fmt.Printf("$ %s %s\n", program, strings.Join(args, " "))
	out, err := e.tool(ctx, "", program, args...)
	fmt.Print(out)
	return err
}

var exactAccuracy = regexp.MustCompile(`exact[^0-9]*([0-9.]+) ?(%?)`)

// judge evaluates a checkpoint on held-out puzzles, wants it to be good, and lets it solve one.
func judge(ctx context.Context, t *timer, e environment, checkpoint string, data []string) error {
	err := t.stage("evaluate on puzzles that were never trained on", func() error {
		args := append([]string{"eval", "--checkpoint", checkpoint}, data...)
		out, err := e.tool(ctx, "", "hrm", args...)
		fmt.Print(out)
		if err != nil {
			return err
		}
		found := exactAccuracy.FindStringSubmatch(out)
		if found == nil {
			return errors.New("hrm eval printed no exact accuracy")
		}
		exact, err := strconv.ParseFloat(found[1], 64)
		if found[2] == "%" {
			exact /= 100
		}
		if err == nil && exact < wantExact {
			err = fmt.Errorf("exact accuracy is %.3f, the quickstart promises %.2f", exact, wantExact)
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.stage("solve a Sudoku", func() error {
		return e.show(ctx, "hrm", append([]string{"solve", "--checkpoint", checkpoint}, data...)...)
	})
}

// withoutCluster trains the same job on this machine.
func withoutCluster(ctx context.Context, t *timer) error {
	store := filepath.Join(workDir, "store")
	if err := os.RemoveAll(store); err != nil {
		return err
	}
	if err := t.stage("build the command line", func() error { return command(ctx, "make", "build") }); err != nil {
		return err
	}
	err := t.stage("train", func() error { return command(ctx, "bin/hrm", "train", "-f", sample, "--store", store) })
	if err != nil {
		return err
	}
	e := environment{}
	checkpoint := filepath.Join(workDir, "checkpoint")
	if err := os.RemoveAll(checkpoint); err != nil {
		return err
	}
	err = t.stage("pull the checkpoint out of the store", func() error {
		return e.show(ctx, "hrm", "checkpoint", "pull", "--store", store, "--out", checkpoint)
	})
	if err != nil {
		return err
	}
	return judge(ctx, t, e, checkpoint, []string{"--store", store})
}
