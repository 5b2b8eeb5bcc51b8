package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/warrenmq/warren/internal/pika"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// workshop is where pages are tried: a RabbitMQ node, and a folder for what is
// built. Pages are tried one after another.
type workshop struct {
	root string // of the repository
	dir  string // temporary
	node *rabbitmqtest.Node
	port string // of the node, in the place of 5672
	bin  string // first in PATH

	page    *page // that is being tried
	skipped []string
}

func newWorkshop(root string) (*workshop, error) {
	dir, err := os.MkdirTemp("", "docs-check-")
	if err != nil {
		return nil, err
	}
	w := &workshop{root: root, dir: dir, bin: filepath.Join(dir, "bin")}
	return w, os.Mkdir(w.bin, 0o700)
}

func (w *workshop) close() {
	if w.node != nil {
		w.node.Close()
	}
	_ = os.RemoveAll(w.dir)
}

// broker starts the node, once.
func (w *workshop) broker(ctx context.Context) error {
	if w.port != "" {
		return nil
	}
	node, err := rabbitmqtest.Start(ctx, rabbitmqtest.Options{Password: "guest"})
	if err != nil {
		return err
	}
	return w.use(node)
}

func (w *workshop) use(node *rabbitmqtest.Node) error {
	w.node = node
	var err error
	_, w.port, err = net.SplitHostPort(node.Addr())
	return errors.Join(err, w.fresh())
}

// fresh empties the broker, where there is one: each page begins with an empty
// one, as its reader does. The tutorial's user is there as well.
func (w *workshop) fresh() error {
	if w.node == nil {
		return nil
	}
	_, err := w.node.Eval(`rabbit_vhost:delete(<<"/">>, <<"docs">>),
		rabbit_vhost:add(<<"/">>, <<"docs">>),
		case rabbit_auth_backend_internal:exists(<<"root">>) of
			true -> ok;
			false -> rabbit_auth_backend_internal:add_user(<<"root">>, <<"1234">>, <<"docs">>)
		end,
		[rabbit_auth_backend_internal:set_permissions(U, <<"/">>, <<".*">>, <<".*">>, <<".*">>, <<"docs">>) || U <- [<<"guest">>, <<"root">>]]`)
	if err != nil {
		return fmt.Errorf("empty the broker: %w", err)
	}
	return nil
}

// python puts a Python that has pika where python3 is found.
func (w *workshop) python() (string, error) {
	interpreter, err := pika.Interpreter()
	if err != nil {
		return "", err
	}
	link := filepath.Join(w.bin, "python3")
	if err := os.Symlink(interpreter, link); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return link, nil
}

// environ is the environment of what is run: a broker, and a folder in PATH for
// what is installed.
func (w *workshop) environ(ctx context.Context) ([]string, error) {
	if err := w.broker(ctx); err != nil {
		return nil, err
	}
	return environ(map[string]string{
		"MESSAGING_URL": "amqp://guest:guest@localhost:" + w.port + "/",
		"PATH":          w.bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GOBIN":         w.bin, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
	}), nil
}

var amqpPort = regexp.MustCompile(`\b5672\b`)

// here is a text of a page with the node's port: pages have RabbitMQ's own.
func (w *workshop) here(text string) string { return amqpPort.ReplaceAllString(text, w.port) }

// there is output as the page would show it.
func (w *workshop) there(text string) string { return strings.ReplaceAll(text, w.port, "5672") }

// skip notes what was not run. It is an error where there is no reason.
func (w *workshop) skip(line int, what, reason string) error {
	if len(strings.Fields(reason)) < 3 {
		return fmt.Errorf("skipped without a reason that says something: %q", reason)
	}
	what, _, _ = strings.Cut(what, "\n")
	w.skipped = append(w.skipped, fmt.Sprintf("%s:%d: %s: %s", w.page.path, line, what, reason))
	return nil
}
