// Package postgrestest gives tests a real PostgreSQL: a private server, a
// child process that listens on a Unix socket only and can be killed and
// started again.
//
//	server := postgrestest.New(t)
//	db, err := sql.Open("postgres", server.DSN())
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/child"
	"github.com/warrenmq/warren/internal/testsecret"
)

// howToGetOne is the sentence for a machine without PostgreSQL.
const howToGetOne = "PostgreSQL is needed: install it with `internal/tools/install.sh postgresql` (or `sudo apt-get install postgresql`; " +
	"macOS: `brew install postgresql`), or run `make test-unit`, which needs no server."

// startTimeout is generous: a machine that compiles at the same time is slow.
const startTimeout = time.Minute

// role is the superuser of the server, and database the one database in it.
const role, database = "warren", "postgres"

// Server is a private PostgreSQL. Nothing of it outlives Close.
type Server struct {
	bin  string
	dir  string
	cred *syscall.Credential // whom it runs as; nil: as we do
	proc *child.Process      // nil while it is down
}

// New starts a server that belongs to the test alone, and closes it when the
// test ends. go test -short skips the test; where there is no PostgreSQL, the
// test fails and says how to get it.
func New(t testing.TB) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a PostgreSQL server, and -short asks for the tests that need none")
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	s, err := Start(ctx)
	if errors.Is(err, ErrNotInstalled) {
		t.Fatal(howToGetOne)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.logTail())
		}
		s.Close()
	})
	return s
}

// Start starts a server with an empty database and returns once it answers,
// which takes about two seconds. Whoever starts a server closes it. The error
// wraps [ErrNotInstalled] where this machine has no PostgreSQL.
func Start(ctx context.Context) (*Server, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if err := s.layOut(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("create a PostgreSQL database: %w", err)
	}
	if err := s.StartAgain(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// DSN returns the connection string, the same after a restart.
func (s *Server) DSN() string {
	return fmt.Sprintf("host=%s user=%s password=%s dbname=%s sslmode=disable connect_timeout=10", s.dir, role, testsecret.Password, database)
}

// Kill ends the server and every connection to it at once, as a crash does. A
// server that is down already is left so.
func (s *Server) Kill() {
	if s.proc == nil {
		return
	}
	// PostgreSQL's "immediate shutdown": it kills the processes of all
	// connections, writes nothing, and recovers at the next start. SIGKILL
	// would leave those processes, which have groups of their own, behind for a moment.
	s.proc.Signal(syscall.SIGQUIT)
	<-s.proc.Done
	s.proc = nil
}

// StartAgain starts a server that was killed, with the data that it had.
func (s *Server) StartAgain(ctx context.Context) error {
	out, err := os.OpenFile(filepath.Join(s.dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	defer out.Close()
	cmd := s.command(context.WithoutCancel(ctx), "postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "max_connections=20", "-c", "shared_buffers=1MB")
	cmd.Stdout, cmd.Stderr = out, out
	if s.proc, err = child.Start(cmd, false); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.awaitReady(ctx); err != nil {
		s.Kill()
		return fmt.Errorf("start PostgreSQL: %w\n%s", err, s.logTail())
	}
	return nil
}

// Close kills the server and removes its data. It may be called more than once.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir) // what cannot be removed is the system's to clean up
}

// layOut creates the directory with an empty database. Root hands it over to
// somebody else, since PostgreSQL refuses to run as root.
func (s *Server) layOut(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "warren-pg-"); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if s.cred, err = unprivileged(); err != nil {
			return err
		}
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(testsecret.Password), 0o600); err != nil {
		return err
	}
	if s.cred != nil {
		if err := os.Chown(password, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	cmd := s.command(ctx, "initdb", "-D", s.data(), "-U", role, "--pwfile", password, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, text)
	}
	return nil
}

// unprivileged is the user that a server started by root runs as.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it as")
}

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	// Nothing of ours, such as PGDATA or PGPORT, may change what a test sees.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C", "HOME=" + s.dir}
	if s.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	}
	return cmd
}

// awaitReady waits until the server's own status file says so, as pg_ctl does.
func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.ready() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", context.Cause(ctx))
		case <-s.proc.Done:
			return fmt.Errorf("it ended before it was ready: %w", s.proc.Err())
		case <-tick.C:
		}
	}
}

// ready reads postmaster.pid: the process id is its first line and the status
// its eighth. A file that a killed server left has another process id.
func (s *Server) ready() bool {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	return err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(s.proc.PID) && strings.TrimSpace(lines[7]) == "ready"
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// logTail returns the end of what the server wrote.
func (s *Server) logTail() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "output"))
	const most = 4096
	return string(text[max(0, len(text)-most):])
}
