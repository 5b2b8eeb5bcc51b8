package postgrestest

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package
)

func TestServerIsKilledAndStartedAgain(t *testing.T) {
	s := New(t)
	socket := filepath.Join(s.dir, ".s.PGSQL.5432")
	for range 2 {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		s.Kill()
		if _, err := net.Dial("unix", socket); err == nil {
			t.Error("a server that was killed answers")
		}
		if err := s.StartAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNotInstalled(t *testing.T) {
	dirs := serverDirs
	serverDirs = nil
	defer func() { serverDirs = dirs }()
	t.Setenv("PATH", t.TempDir())
	if _, err := Start(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("without the programs: %v, want ErrNotInstalled", err)
	}
}
