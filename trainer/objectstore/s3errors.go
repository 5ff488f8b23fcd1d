package objectstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
)

func isPrecondition(e minio.ErrorResponse) bool {
	return e.Code == minio.PreconditionFailed || e.Code == "ConditionalRequestConflict" ||
		e.StatusCode == http.StatusPreconditionFailed
}

// explain turns an error of the server or the network into one that names the object and what to do about it.
func (s *s3) explain(what, key string, err error) error {
	uri := s.URI(key)
	e := minio.ToErrorResponse(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", what, uri, err)
	case isPrecondition(e):
		return fmt.Errorf("%s %s: %w", what, uri, ErrPrecondition)
	case e.Code == minio.NoSuchBucket:
		return fmt.Errorf("%s %s: bucket %s does not exist at %s: create it or correct storage.bucket: %w",
			what, uri, s.config.Bucket, s.endpoint(), err)
	case e.Code == minio.NoSuchKey:
		return fmt.Errorf("%s %s: %w", what, uri, ErrNotFound)
	}
	if remedy := s.remedy(err, e); remedy != "" {
		return fmt.Errorf("%s %s: %s: %w", what, uri, remedy, err)
	}
	return fmt.Errorf("%s %s: %w", what, uri, err)
}

func (s *s3) endpoint() string {
	if s.config.Endpoint == "" {
		return "s3.amazonaws.com"
	}
	return s.config.Endpoint
}

// remedy says what a user can do about an error, or nothing if that is not known.
func (s *s3) remedy(err error, e minio.ErrorResponse) string {
	var network *net.OpError
	var dns *net.DNSError
	var request *url.Error
	var authority x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case e.Code == "InvalidAccessKeyId", e.Code == "SignatureDoesNotMatch", e.Code == "InvalidTokenId", e.Code == "ExpiredToken", e.Code == "XAdminUserNotFound":
		return "the store does not accept the credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the secret that storage.credentialsSecretRef names"
	case e.Code == minio.AccessDenied || e.StatusCode == http.StatusForbidden:
		return "access is denied: check the credentials, and that they may read, write, list and delete in this bucket and prefix"
	case errors.As(err, &authority), errors.As(err, &verification):
		return fmt.Sprintf("the certificate of %s is not trusted: give its CA certificate", s.endpoint())
	case errors.As(err, &dns), errors.As(err, &network), errors.As(err, &request):
		return fmt.Sprintf("%s cannot be reached: check storage.endpoint and the network policies", s.endpoint())
	}
	return ""
}
