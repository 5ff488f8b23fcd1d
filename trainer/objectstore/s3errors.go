package objectstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/minio/minio-go/v7"
)

func isPrecondition(e minio.ErrorResponse) bool {
	return e.Code == minio.PreconditionFailed || e.Code == "ConditionalRequestConflict" ||
		e.StatusCode == http.StatusPreconditionFailed
}

// explain turns an error of the server or the network into one that names the object and what to do about it, and that
// says which kind of trouble it is. An error that comes from the caller's own context stays what it is.
func (s *s3) explain(ctx context.Context, what, key string, err error) error {
	uri := s.URI(key)
	e := minio.ToErrorResponse(err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", what, uri, errors.Join(ctx.Err(), err))
	case isPrecondition(e):
		return fmt.Errorf("%s %s: %w", what, uri, ErrPrecondition)
	case e.Code == minio.NoSuchKey:
		return fmt.Errorf("%s %s: %w", what, uri, ErrNotFound)
	}
	remedy, kind := s.classify(err, e)
	if kind == nil {
		return fmt.Errorf("%s %s: %w", what, uri, err)
	}
	return &failure{kind: kind, text: fmt.Sprintf("%s %s: %s", what, uri, remedy), cause: err}
}

func (s *s3) endpoint() string {
	if s.config.Endpoint == "" {
		return "s3.amazonaws.com"
	}
	return s.config.Endpoint
}

// classify says which kind of trouble an error is, nil if that is not known, and what a user can do about it.
func (s *s3) classify(err error, e minio.ErrorResponse) (remedy string, kind error) {
	var authority x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case e.Code == minio.NoSuchBucket:
		return fmt.Sprintf("bucket %s does not exist at %s: create it or correct storage.bucket", s.config.Bucket, s.endpoint()), ErrNoBucket
	case slices.Contains(wrongCredentials, e.Code):
		return fmt.Sprintf("%s does not accept the credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "+
			"in the secret that storage.credentialsSecretRef names", s.endpoint()), ErrDenied
	case e.Code == minio.AccessDenied, e.StatusCode == http.StatusForbidden, e.StatusCode == http.StatusUnauthorized:
		return fmt.Sprintf("access to bucket %s at %s is denied: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the secret "+
			"that storage.credentialsSecretRef names, and that they may read, write, list and delete below this prefix", s.config.Bucket, s.endpoint()), ErrDenied
	case errors.As(err, &authority), errors.As(err, &verification):
		return fmt.Sprintf("the certificate of %s is not trusted: give its CA certificate", s.endpoint()), ErrUntrusted
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Sprintf("%s does not speak TLS: correct storage.endpoint", s.endpoint()), ErrUntrusted
	case e.StatusCode >= http.StatusInternalServerError && e.StatusCode != http.StatusNotImplemented,
		e.StatusCode == http.StatusTooManyRequests, e.StatusCode == http.StatusRequestTimeout, slices.Contains(busy, e.Code):
		return fmt.Sprintf("%s is overloaded or ill, try again later", s.endpoint()), ErrUnavailable
	case isNetwork(err):
		return fmt.Sprintf("%s cannot be reached: check storage.endpoint and the network policies", s.endpoint()), ErrUnavailable
	}
	return "", nil
}

// wrongCredentials are the codes of servers that do not know the access key or find the signature wrong.
var wrongCredentials = []string{"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidTokenId", "ExpiredToken", "XAdminUserNotFound"}

// busy are the codes of servers that ask to be left alone for a while; some send them without the status that fits.
var busy = []string{"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"}

// isNetwork reports whether a request did not reach its server, or the answer was cut.
func isNetwork(err error) bool {
	var network net.Error
	var request *url.Error
	return errors.As(err, &network) || errors.As(err, &request) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
