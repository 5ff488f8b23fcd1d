package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// caFileVariable names a file of certificates to trust; the operator mounts one where a job asks for it.
const caFileVariable = "AWS_CA_BUNDLE"

// storeFlags say where a store is, for commands that have no job to ask.
type storeFlags struct {
	uri, endpoint, region string
	pathStyle             bool
}

func (f *storeFlags) add(c *cobra.Command, what string) {
	f.addURI(c, what)
	f.addBucket(c)
}

func (f *storeFlags) addURI(c *cobra.Command, what string) {
	c.Flags().StringVar(&f.uri, "store", "", what+": a directory or s3://bucket/prefix")
}

// addBucket adds the flags that say how buckets are reached.
func (f *storeFlags) addBucket(c *cobra.Command) {
	c.Flags().StringVar(&f.endpoint, "endpoint", os.Getenv("AWS_ENDPOINT_URL"), "URL of the S3 service; empty is Amazon's")
	c.Flags().StringVar(&f.region, "region", "", "region of the bucket")
	c.Flags().BoolVar(&f.pathStyle, "path-style", true, "put the bucket into the path of S3 addresses")
}

// config is how buckets are reached; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
func (f *storeFlags) config() (objectstore.S3Config, error) {
	ca, err := trusted()
	return objectstore.S3Config{Endpoint: f.endpoint, Region: f.region, PathStyle: f.pathStyle, CA: ca}, err
}

// toJob lets the flags name the place of a job of the cluster. An endpoint that is given takes the place of the job's: the
// cluster may reach its buckets by another way.
func (f *storeFlags) toJob(ctx context.Context, kube *kubeFlags, name string) error {
	job, err := kube.job(ctx, name)
	if err == nil {
		f.ofJob(job)
	}
	return err
}

// ofJob lets the flags name a job's own storage.
func (f *storeFlags) ofJob(job *v1alpha1.HRMTrainingJob) {
	s := &job.Spec.Storage
	f.uri, f.region, f.pathStyle = objectstore.BucketURI(s.Bucket, jobPrefix(job)), s.Region, s.PathStyle != nil && *s.PathStyle
	if f.endpoint == "" {
		f.endpoint = s.Endpoint
	}
}

// open opens the store that the flags name.
func (f *storeFlags) open(ctx context.Context) (objectstore.Store, error) {
	if f.uri == "" {
		return nil, usageError{errors.New("--store is missing: name the directory or s3://bucket/prefix that the job trained into")}
	}
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	return openStore(ctx, f.uri, c)
}

// openStore opens a store by its URI. Nothing about a URI that cannot be read gets better by trying again.
func openStore(ctx context.Context, uri string, c objectstore.S3Config) (objectstore.Store, error) {
	if _, err := objectstore.Parse(uri); err != nil {
		return nil, usageError{err}
	}
	return objectstore.Open(ctx, uri, c)
}

// jobS3 is how a job's bucket is reached, and jobStore opens it below the job's prefix.
func jobS3(job *v1alpha1.HRMTrainingJob) (objectstore.S3Config, error) {
	s := &job.Spec.Storage
	ca, err := trusted()
	return objectstore.S3Config{
		Endpoint: s.Endpoint, Region: s.Region, PathStyle: s.PathStyle != nil && *s.PathStyle, CA: ca,
		Bucket: s.Bucket, Prefix: jobPrefix(job),
	}, err
}

func jobStore(ctx context.Context, job *v1alpha1.HRMTrainingJob) (objectstore.Store, error) {
	c, err := jobS3(job)
	if err != nil {
		return nil, err
	}
	return objectstore.OpenS3(ctx, c)
}

// jobPrefix is where a job's objects lie in its bucket.
func jobPrefix(job *v1alpha1.HRMTrainingJob) string {
	if job.Spec.Storage.Prefix != "" {
		return job.Spec.Storage.Prefix
	}
	return job.Name
}

// trusted reads the certificates that are trusted besides the system's.
func trusted() ([]byte, error) {
	path := os.Getenv(caFileVariable)
	if path == "" {
		return nil, nil
	}
	ca, err := os.ReadFile(path)
	if err != nil {
		return nil, configurationError{fmt.Errorf("certificates of %s: %w", caFileVariable, err)}
	}
	return ca, nil
}
