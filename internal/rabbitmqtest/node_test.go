package rabbitmqtest

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/testsecret"
)

func TestMain(m *testing.M) { Main(m) }

func TestNodeKeepsItsDataOverKillAndStop(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{})
	addUser(t, n, "before-kill")

	n.Kill()
	if _, err := Handshake(t.Context(), n.Addr()); err == nil {
		t.Fatal("a killed node answers")
	}
	url := n.URL()
	if err := n.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.URL() != url {
		t.Errorf("the URL changed from %s to %s", url, n.URL())
	}
	wantUser(t, n, "before-kill")

	addUser(t, n, "before-stop")
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantUser(t, n, "before-kill")
	wantUser(t, n, "before-stop")
}

func TestNodeThatRunsCannotBeStartedAgain(t *testing.T) {
	t.Parallel()
	if err := SharedNode(t).StartAgain(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("got %v, want an error that says it is running already", err)
	}
}

func TestNodeByTheStockScript(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{stock: true})
	if _, err := n.Eval("rabbit:is_running()"); err != nil {
		t.Error(err)
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := Handshake(t.Context(), n.Addr()); err == nil {
		t.Error("a stopped node answers: the script is gone, its broker is not")
	}
}

func TestStartReportsTheNodesOwnWords(t *testing.T) {
	t.Parallel()
	skipIfShort(t)
	_, err := Start(t.Context(), Options{Config: "no_such_key = 1"})
	if err == nil || !strings.Contains(err.Error(), "no_such_key") {
		t.Errorf("got %v, want the node's complaint about no_such_key", err)
	}
}

func TestStartOnATakenPort(t *testing.T) {
	t.Parallel()
	taken := SharedNode(t).opts.Port
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := Start(ctx, Options{Port: taken})
	if err == nil || ctx.Err() != nil || !portTaken(err) {
		t.Errorf("got %v, want an error about the port", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	skipIfShort(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if n, err := Start(ctx, Options{}); err == nil {
		n.Close()
		t.Fatal("a node started within 50 ms")
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestCloseRemovesOnlyTemporaryData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := NewNode(t, Options{Dir: dir, Name: "kept"})
	addUser(t, n, "kept")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n.Close()
	again := NewNode(t, Options{Dir: dir, Name: "kept"})
	wantUser(t, again, "kept")
	again.Close()
	again.Close()

	temporary := NewNode(t, Options{})
	temporary.Close()
	if _, err := os.Stat(temporary.opts.Dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is still there (%v)", err)
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{})
	for range 2 { // a second time changes nothing
		if err := n.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Handshake(ctx, n.Addr()); err == nil {
		t.Error("a frozen node answers")
	}
	if err := n.Thaw(); err != nil {
		t.Fatal(err)
	}
	if _, err := Handshake(t.Context(), n.Addr()); err != nil {
		t.Error(err)
	}
	if err := n.Freeze(); err != nil {
		t.Fatal(err)
	}
	n.Kill() // a frozen node can be killed
	if n.Freeze() == nil || n.Thaw() == nil {
		t.Error("Freeze and Thaw of a node that is down: want errors")
	}
}

func TestNodeSurvivesTheThreadThatStartedIt(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{})
	endThreads()
	if _, err := Handshake(t.Context(), n.Addr()); err != nil {
		t.Error(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.proc.Done:
		t.Error("the node died with a thread of this process")
	default:
	}
}

func addUser(t *testing.T, n *Node, name string) {
	t.Helper()
	if _, err := n.Eval(`rabbit_auth_backend_internal:add_user(<<"` + name + `">>, <<"secret">>, <<"test">>)`); err != nil {
		t.Fatal(err)
	}
}

func wantUser(t *testing.T, n *Node, name string) {
	t.Helper()
	got, err := n.Eval(`rabbit_auth_backend_internal:exists(<<"` + name + `">>)`)
	if err != nil {
		t.Fatal(err)
	}
	if got != "true" {
		t.Errorf("user %q is gone", name)
	}
}

// TestLogShowsNoPassword: the node writes down who comes, and not with which
// password.
func TestLogShowsNoPassword(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{Config: "log.file.level = debug"})
	login(t, n.Addr(), "with the password")
	if _, err := n.CloseConnections(); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil { // everything is written down
		t.Fatal(err)
	}
	written := 0
	err := filepath.WalkDir(n.opts.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) != "output" && filepath.Base(filepath.Dir(path)) != "log" {
			return err
		}
		text, err := os.ReadFile(path)
		if written += len(text); bytes.Contains(text, []byte(testsecret.Password)) {
			t.Errorf("%s has the password in it", path)
		}
		return err
	})
	if err != nil || written == 0 {
		t.Errorf("%d bytes of logs (%v)", written, err)
	}
}
