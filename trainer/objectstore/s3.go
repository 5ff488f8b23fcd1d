package objectstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Config says how to reach a bucket.
type S3Config struct {
	// Endpoint is a URL; empty means Amazon's.
	Endpoint string
	// Region is taken from AWS_REGION if empty, and is us-east-1 if that is empty too and the endpoint is not Amazon's.
	Region         string
	Bucket, Prefix string
	// PathStyle puts the bucket into the path in place of the host name, as most servers in a cluster want.
	PathStyle bool
	// CA holds PEM certificates to trust besides the system's.
	CA []byte
	// AccessKeyID and SecretAccessKey, if set, are used in place of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the
	// pod's workload identity.
	AccessKeyID, SecretAccessKey string
	// MaxRetries bounds the attempts of one request; 0 means 10. The context bounds them too.
	MaxRetries int
	// IdleTimeout bounds how long the server may be silent in the middle of a request; 0 means IdleTimeout.
	IdleTimeout time.Duration
}

// s3 is a bucket below a prefix.
type s3 struct {
	client  minio.Core
	config  S3Config
	prefix  string // empty, or ends in a slash
	probing sync.Mutex
	support *conditionSupport
}

// singlePut is the largest object that S3 takes in one request. One request is one condition, and nothing of it
// remains if it fails, so nothing smaller that has a condition is sent in parts.
const singlePut = 5 << 30

// An object of several parts that has no condition is sent in parts of putPart bytes, some at a time, if it can be read
// from anywhere: nothing of it is held in memory then.
const putPart = 64 << 20

// OpenS3 opens a bucket and checks that it can be reached with the credentials.
func OpenS3(ctx context.Context, c S3Config) (Store, error) {
	endpoint, secure, err := splitEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	if c.Bucket == "" {
		return nil, fmt.Errorf("open bucket at %s: no bucket is named: set storage.bucket", endpoint)
	}
	if err := CheckPrefix(c.Prefix); err != nil {
		return nil, fmt.Errorf("open bucket %s at %s: correct storage.prefix: %w", c.Bucket, endpoint, err)
	}
	if c.Region == "" {
		c.Region = os.Getenv("AWS_REGION")
	}
	if c.Region == "" && c.Endpoint != "" && !strings.HasSuffix(endpoint, ".amazonaws.com") {
		c.Region = "us-east-1"
	}
	transport, err := newTransport(c, secure)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.NewCore(endpoint, &minio.Options{Creds: newCredentials(c), Secure: secure, Region: c.Region,
		Transport: transport, BucketLookup: lookup, MaxRetries: c.MaxRetries})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s at %s: %w", c.Bucket, endpoint, err)
	}
	s := &s3{client: *client, config: c}
	if p := strings.Trim(c.Prefix, "/"); p != "" {
		s.prefix = p + "/"
	}
	return s, s.check(ctx)
}

// check lists the beginning of the prefix, so that a wrong configuration is told before hours of training. A HEAD of the
// bucket would be cheaper, but its answer has no body that could tell a wrong key from a missing bucket.
func (s *s3) check(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := minio.ListObjectsOptions{Prefix: s.prefix, MaxKeys: 1, Recursive: true}
	if first, ok := <-s.client.Client.ListObjects(ctx, s.config.Bucket, o); ok && first.Err != nil {
		return s.explain(ctx, "open", "", first.Err)
	}
	return nil
}

func splitEndpoint(endpoint string) (host string, secure bool, err error) {
	if endpoint == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return "", false, fmt.Errorf("storage endpoint %q: want a URL such as https://s3.example.org", endpoint)
	}
	return u.Host, u.Scheme == "https", nil
}

func newTransport(c S3Config, secure bool) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to the store: %w", err)
	}
	idle := cmp.Or(c.IdleTimeout, IdleTimeout)
	t.DialContext, t.ResponseHeaderTimeout = DialIdle(idle), idle
	ca := c.CA
	if len(ca) == 0 {
		return t, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("the store's CA certificate is not PEM: it must begin with -----BEGIN CERTIFICATE-----")
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}

// newCredentials looks in the configuration, then in the environment, then asks the platform for the pod's identity.
func newCredentials(c S3Config) *credentials.Credentials {
	if c.AccessKeyID != "" {
		return credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}},
	})
}

// URI implements [Store].
func (s *s3) URI(key string) string { return "s3://" + s.config.Bucket + "/" + s.prefix + key }

// Get implements [Store].
func (s *s3) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	if err := checkKey(key); err != nil {
		return nil, Info{}, err
	}
	r, o, _, err := s.client.GetObject(ctx, s.config.Bucket, s.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, Info{}, s.explain(ctx, "read", key, err)
	}
	if o.Size < 0 {
		r.Close()
		return nil, Info{}, fmt.Errorf("read %s: the server does not say how long it is: check storage.endpoint and what stands before it", s.URI(key))
	}
	return &download{ctx: ctx, store: s, key: key, etag: o.ETag, end: o.Size, body: r}, s.info(key, o), nil
}

// GetRange implements [Store].
func (s *s3) GetRange(ctx context.Context, key, etag string, from, size int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	d := &download{ctx: ctx, store: s, key: key, etag: etag, at: from, end: from + size}
	var err error
	d.body, err = d.open()
	return d, err
}

func (s *s3) info(key string, o minio.ObjectInfo) Info {
	return Info{Key: key, Size: o.Size, ETag: o.ETag}
}

// Stat implements [Store].
func (s *s3) Stat(ctx context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	o, err := s.client.StatObject(ctx, s.config.Bucket, s.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, s.explain(ctx, "describe", key, err)
	}
	return s.info(key, o), nil
}

// Put implements [Store].
func (s *s3) Put(ctx context.Context, key string, r io.Reader, size int64, c Condition) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	o := minio.PutObjectOptions{DisableMultipart: size <= singlePut}
	if _, anywhere := r.(io.ReaderAt); anywhere && c == (Condition{}) && size > putPart {
		o.DisableMultipart, o.PartSize = false, putPart
	}
	if c != (Condition{}) {
		support, err := s.conditions(ctx)
		if err != nil {
			return Info{}, err
		}
		if err := s.apply(ctx, key, c, support, &o); err != nil {
			return Info{}, err
		}
	}
	u, err := s.client.Client.PutObject(ctx, s.config.Bucket, s.prefix+key, r, size, o)
	if err != nil {
		if c.IfMatch != "" && minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			err = minio.ErrorResponse{Code: minio.PreconditionFailed}
		}
		return Info{}, s.explain(ctx, "write", key, err)
	}
	return Info{Key: key, Size: size, ETag: u.ETag}, nil
}

// List implements [Store].
func (s *s3) List(ctx context.Context, prefix string) ([]Info, error) {
	if err := checkListPrefix(prefix); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all []Info
	for o := range s.client.Client.ListObjects(ctx, s.config.Bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, s.explain(ctx, "list", prefix, o.Err)
		}
		key := strings.TrimPrefix(o.Key, s.prefix)
		if checkKey(key) == nil {
			all = append(all, s.info(key, o))
		}
	}
	return all, ctx.Err()
}

// Delete implements [Store].
func (s *s3) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	err := s.client.Client.RemoveObject(ctx, s.config.Bucket, s.prefix+key, minio.RemoveObjectOptions{})
	if err == nil || minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil
	}
	return s.explain(ctx, "delete", key, err)
}
