package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// trial is one fault that happens.
type trial struct {
	ctx    context.Context
	fault  Fault
	times  int
	rig    *Rig
	ledger *ledger
	log    logBook

	mu       sync.Mutex
	wrongs   []string
	names    []string // of the figures, in the order of their first value
	longest  map[string]time.Duration
	counts   map[string]int
	cleanups []func()
}

func newTrial(ctx context.Context, f Fault, times int, rig *Rig) *trial {
	return &trial{ctx: ctx, fault: f, times: times, rig: rig, ledger: newLedger(strings.ReplaceAll(f.Name, "-", "_")),
		longest: map[string]time.Duration{}, counts: map[string]int{}}
}

// wrong enters something that is not as it should be.
func (t *trial) wrong(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrongs = append(t.wrongs, fmt.Sprintf(format, args...))
}

// expect enters what is not as it should be where ok is false.
func (t *trial) expect(ok bool, format string, args ...any) {
	if !ok {
		t.wrong(format, args...)
	}
}

// took measures; the longest of each name is shown.
func (t *trial) took(name string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.longest[name]; !known {
		t.names = append(t.names, name)
	}
	t.longest[name] = max(t.longest[name], d)
}

// counted adds to a count that is shown.
func (t *trial) counted(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.counts[name]; !known {
		t.names = append(t.names, name)
	}
	t.counts[name] += n
}

func (t *trial) result(took time.Duration) Result {
	totals, _ := t.ledger.snapshot()
	if t.fault.Once {
		t.expect(totals.Duplicated == 0, "%d messages were delivered twice", totals.Duplicated)
	}
	if t.fault.Order {
		t.expect(totals.Disordered == 0, "%d messages came after a later one", totals.Disordered)
	}
	t.expect(totals.Confirmed > 0, "nothing was confirmed, which shows nothing")
	if totals.Phantom > 0 {
		t.wrong("nobody sent, or not so: %q", t.ledger.strange)
	}
	for _, reason := range slices.Sorted(maps.Keys(t.ledger.failed)) {
		t.counted("told "+reason, t.ledger.failed[reason])
	}
	r := Result{Name: t.fault.Name, Totals: totals, Took: took, Wrong: t.wrongs}
	for _, name := range t.names {
		if d, ok := t.longest[name]; ok {
			r.Figures = append(r.Figures, name+" "+d.Round(time.Millisecond).String())
		} else {
			r.Figures = append(r.Figures, fmt.Sprintf("%s %d", name, t.counts[name]))
		}
	}
	if !r.Held() {
		r.Wrong = append(r.Wrong, "the end of the log:\n"+t.log.tail())
	}
	return r
}

// cleanup has f called when the fault is over, the last first.
func (t *trial) cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *trial) cleanUp() {
	for len(t.cleanups) > 0 {
		last := t.cleanups[len(t.cleanups)-1]
		t.cleanups = t.cleanups[:len(t.cleanups)-1]
		last()
	}
}

// node starts a node that this fault may break.
func (t *trial) node() (*rabbitmqtest.Node, error) {
	n, err := rabbitmqtest.Start(t.ctx, rabbitmqtest.Options{})
	if err != nil {
		return nil, err
	}
	t.cleanup(n.Close)
	return n, nil
}

// proxied returns the shared node of the kind, and a proxy to it.
func (t *trial) proxied() (*rabbitmqtest.Node, *rabbitmqtest.Proxy, error) {
	n, err := t.rig.Node(t.ctx)
	if err != nil {
		return nil, nil, err
	}
	p, err := t.proxy(n.Addr())
	return n, p, err
}

func (t *trial) proxy(target string) (*rabbitmqtest.Proxy, error) {
	p, err := rabbitmqtest.StartProxy(target)
	if err != nil {
		return nil, err
	}
	t.cleanup(p.Close)
	return p, nil
}

// closeTimeout is how long a broker may take to close, whatever happened.
const closeTimeout = 20 * time.Second

// open opens a broker, which is closed when the fault is over.
func (t *trial) open(base string, query ...string) (*rabbitmq.Broker, error) {
	u, err := messaging.ParseURL(base)
	if err != nil {
		return nil, err
	}
	u.RawQuery = strings.Join(query, "&")
	b, err := rabbitmq.Open(t.ctx, urlText(u), rabbitmq.WithLogger(slog.New(slog.NewTextHandler(&t.log, nil))))
	if err != nil {
		return nil, err
	}
	t.cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), closeTimeout)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.wrong("close: %v", err)
		}
	})
	return b, nil
}

// urlText is u as text, with the commas between its hosts.
func urlText(u *url.URL) string {
	return fmt.Sprintf("%s://%s@%s%s?%s", u.Scheme, u.User, u.Host, u.EscapedPath(), u.RawQuery)
}

// declare makes a queue of the fault's own.
func (t *trial) declare(b messaging.Manager, set ...func(*messaging.QueueSpec)) (messaging.Address, error) {
	spec := messaging.QueueSpec{Name: t.fault.Name + "." + messaging.NewID()}
	for _, f := range set {
		f(&spec)
	}
	return messaging.Queue(spec.Name), b.Declare(t.ctx, spec)
}

// sync has the names of new queues written to the disk: RabbitMQ 3.10 does
// that some seconds after it has confirmed messages in them, and a crash in
// between loses the queue.
func (t *trial) sync(nodes ...*rabbitmqtest.Node) error {
	var errs []error
	for _, n := range nodes {
		_, err := n.Eval("[dets:sync(T) || T <- dets:all()]")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// logBook keeps the last lines of a log, and counts all.
type logBook struct {
	mu    sync.Mutex
	last  []string
	count int
}

// keptLines is how many lines a logBook keeps.
const keptLines = 60

// Write implements [io.Writer], for slog's handlers: one line a call.
func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	l.last = append(l.last, string(p))
	if len(l.last) > keptLines {
		l.last = l.last[1:]
	}
	return len(p), nil
}

func (l *logBook) lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *logBook) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "")
}
