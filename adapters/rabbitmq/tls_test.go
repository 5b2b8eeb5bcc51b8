package rabbitmq

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/internal/testsecret"
)

// authority signs the certificates of a test, and writes them as PEM files.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(name, nil, nil)
	return a
}

// sign makes a certificate for name; without a parent, one that signs others.
func (a *authority) sign(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, set ...func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, f := range set {
		f(c)
	}
	if parent == nil {
		c.IsCA, c.BasicConstraintsValid, parent, parentKey = true, true, c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".crt", "CERTIFICATE", der)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".key", "PRIVATE KEY", private)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// TestTLS: by files in the URL, by WithTLSConfig, and what goes wrong with
// each, at once and with a reason.
func TestTLS(t *testing.T) {
	t.Parallel()
	rabbitmqtest.URL(t) // skips where there is to be no broker
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	ours.sign("server", ours.cert, ours.key)
	ours.sign("client", ours.cert, ours.key)
	theirs.sign("client", theirs.cert, theirs.key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	rabbitmqtest.NewNode(t, rabbitmqtest.Options{Config: fmt.Sprintf(`
listeners.ssl.1 = %s
ssl_options.cacertfile = %s
ssl_options.certfile = %s
ssl_options.keyfile = %s
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
`, addr, ours.file("ours.crt"), ours.file("server.crt"), ours.file("server.key"))})

	user := "amqps://guest:" + testsecret.Password + "@"
	at := func(ca, cert string) string {
		q := url.Values{}
		if ca != "" {
			q.Set("cacertfile", ca)
		}
		if cert != "" {
			q.Set("certfile", cert+".crt")
			q.Set("keyfile", cert+".key")
		}
		return user + addr + "?" + q.Encode()
	}
	b := openAt(t, at(ours.file("ours.crt"), ours.file("client")))
	publish(t, b, declare(t, b))

	pair, err := tls.LoadX509KeyPair(ours.file("client.crt"), ours.file("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ours.cert)
	conf := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
	b = openAt(t, user+addr, WithTLSConfig(conf))
	publish(t, b, declare(t, b))

	for name, c := range map[string]struct{ url, want string }{
		"unknown authority": {at("", ours.file("client")), "certificate signed by unknown authority"},
		"another authority": {at(theirs.file("theirs.crt"), ours.file("client")), "certificate signed by unknown authority"},
		"no certificate":    {at(ours.file("ours.crt"), ""), "certificate required"},
		"wrong certificate": {at(ours.file("ours.crt"), theirs.file("client")), "certificate required"}, // it is not even offered
		"plain":             {"amqp://guest:s3cret@" + addr, "5671 with TLS"},
	} {
		start := time.Now()
		_, err := Open(t.Context(), c.url)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		noPassword(t, err)
	}
}

// TestTLSServerCertificates: what is wrong with the server's side ends the
// attempt at once, before a password is sent, and the error says what it is
// and where.
func TestTLSServerCertificates(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	ours.sign("right", ours.cert, ours.key)
	ours.sign("expired", ours.cert, ours.key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	ours.sign("early", ours.cert, ours.key, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	ours.sign("rabbit.example", ours.cert, ours.key, func(c *x509.Certificate) { c.IPAddresses = nil })
	ours.sign("not for servers", ours.cert, ours.key, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	for name, c := range map[string]struct {
		cert string
		most uint16 // the newest version that the server speaks
		want string
	}{
		"expired":     {"expired", tls.VersionTLS13, "certificate has expired"},
		"early":       {"early", tls.VersionTLS13, "not yet valid"},
		"wrong name":  {"rabbit.example", tls.VersionTLS13, "cannot validate certificate for 127.0.0.1"},
		"wrong usage": {"not for servers", tls.VersionTLS13, "incompatible key usage"},
		"TLS 1.1":     {"right", tls.VersionTLS11, "protocol version not supported"},
	} {
		addr, received := tlsServer(t, ours, c.cert, c.most)
		_, err := Open(t.Context(), "amqps://guest:s3cret@"+addr+"?cacertfile="+url.QueryEscape(ours.file("ours.crt")))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v; want %q and %s", name, err, c.want, addr)
		}
		noPassword(t, err)
		if n := next(t, received, "the server"); n != 0 {
			t.Errorf("%s: the server was sent %d bytes", name, n)
		}
	}
}

// tlsServer takes one connection with a certificate, and tells how many bytes
// it was sent through it.
func tlsServer(t *testing.T, a *authority, cert string, newest uint16) (addr string, received <-chan int) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.file(cert+".crt"), a.file(cert+".key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10, MaxVersion: newest,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	bytes := make(chan int, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return // closed
		}
		defer conn.Close()
		n, _ := conn.Read(make([]byte, 100)) // the handshake comes first, and fails
		bytes <- n
	}()
	return l.Addr().String(), bytes
}

// TestTLSCannotBeSwitchedOff: no parameter of the URL leaves out the check of
// the server's certificate.
func TestTLSCannotBeSwitchedOff(t *testing.T) {
	for _, query := range []string{"verify=verify_none", "insecure=true", "insecure_skip_verify=true", "InsecureSkipVerify=1", "server_name_indication=disable"} {
		_, err := Open(t.Context(), "amqps://u:s3cret@127.0.0.1:1?"+query)
		if err == nil || !strings.Contains(err.Error(), "unknown parameter") {
			t.Errorf("%s: %v", query, err)
		}
		noPassword(t, err)
	}
}
