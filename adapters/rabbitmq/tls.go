package rabbitmq

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// tlsFiles are the PEM files that the URL names.
type tlsFiles struct {
	ca, cert, key string
}

// tlsConfig is what connections to an amqps URL use: base (from
// WithTLSConfig, may be nil) with the files of the URL added. It wants
// TLS 1.2 or better unless base says otherwise.
func (f tlsFiles) tlsConfig(base *tls.Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		c = base.Clone()
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("cacertfile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cacertfile: %s has no certificate in PEM form", f.ca)
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("certfile and keyfile: %w", err)
		}
		c.Certificates = append(c.Certificates, pair)
	}
	return c, nil
}

// isTLSRefusal says whether a handshake failed for a reason that will be the
// same the next time: a certificate, the protocol, or no TLS at all.
func isTLSRefusal(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		alert        *net.OpError // as crypto/tls passes on what the other side says
	)
	return errors.As(err, &verification) || errors.As(err, &record) || errors.As(err, &alert) && alert.Op == "remote error"
}
