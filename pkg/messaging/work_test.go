package messaging_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// feed is a minimal intake: a channel of jobs.
type feed struct {
	jobs chan *job
	mu   sync.Mutex
	done []*job
}

type job struct {
	d       messaging.Delivery
	f       *feed
	settled []messaging.Decision
}

func newFeed(n int) *feed {
	f := &feed{jobs: make(chan *job, n)}
	for i := range n {
		f.jobs <- &job{f: f, d: messaging.Delivery{Attempt: 1, Message: messaging.Message{ID: fmt.Sprint(i)}}}
	}
	return f
}

func (f *feed) next(ctx context.Context) messaging.Job {
	if ctx.Err() != nil {
		return nil
	}
	select {
	case j := <-f.jobs:
		return j
	case <-ctx.Done():
		return nil
	}
}

func (j *job) Delivery() *messaging.Delivery { return &j.d }

func (j *job) Settle(d messaging.Decision) {
	j.f.mu.Lock()
	defer j.f.mu.Unlock()
	j.settled = append(j.settled, d)
	if len(j.settled) == 1 {
		j.f.done = append(j.f.done, j)
	}
}

// actions counts what was decided; a job that was settled twice is "twice".
func (f *feed) actions() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := map[string]int{}
	for _, j := range f.done {
		if len(j.settled) > 1 {
			count["twice"]++
		}
		count[j.settled[0].Action.String()]++
	}
	return count
}

func want(t *testing.T, f *feed, counts string) {
	t.Helper()
	if got := fmt.Sprint(f.actions()); got != "map["+counts+"]" {
		t.Errorf("settled %s, want %s", got, counts)
	}
}

func source(set ...func(*messaging.Source)) messaging.Source {
	s := messaging.Source{Address: messaging.Queue("q")}
	for _, f := range set {
		f(&s)
	}
	return s.WithDefaults()
}

var quiet = slog.New(slog.DiscardHandler)

// runWorkers starts w and returns a function that ends its context, and one that waits
// for its result.
func runWorkers(t *testing.T, w messaging.Workers) (stop func(), result func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	if w.Log == nil {
		w.Log = quiet
	}
	go func() { done <- w.Run(ctx) }()
	return cancel, func() error { return <-done }
}

func TestWorkersRunConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(40)
		start := time.Now()
		stop, result := runWorkers(t, messaging.Workers{
			Source: source(func(s *messaging.Source) { s.Concurrency = 4 }), Next: f.next,
			Handler: func(context.Context, *messaging.Delivery) error { time.Sleep(time.Second); return nil },
		})
		synctest.Wait()
		time.Sleep(9*time.Second + 500*time.Millisecond)
		stop()
		if err := result(); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("40 handlers of 1 s, 4 at once, took %s: %v", time.Since(start), err)
		}
		want(t, f, "acknowledge:40")
	})
}

func TestWorkersPanicIsAnErrorWithItsStackInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(1)
		var log bytes.Buffer
		stop, result := runWorkers(t, messaging.Workers{
			Source: source(), Next: f.next, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Handler: func(context.Context, *messaging.Delivery) error { panic("on purpose") },
		})
		synctest.Wait()
		stop()
		if err := result(); err != nil {
			t.Error(err)
		}
		want(t, f, "again:1")
		if !strings.Contains(log.String(), "on purpose") || !strings.Contains(log.String(), "work_test.go") {
			t.Errorf("the log has no panic with its stack: %s", log.String())
		}
	})
}

func TestWorkersSurviveGoexit(t *testing.T) {
	for name, orderBy := range map[string]func(*messaging.Delivery) string{
		"": nil, "with OrderBy": func(*messaging.Delivery) string { return "k" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(3)
				stop, result := runWorkers(t, messaging.Workers{
					Source: source(func(s *messaging.Source) { s.OrderBy = orderBy }), Next: f.next,
					Handler: func(_ context.Context, d *messaging.Delivery) error {
						if d.ID == "0" {
							runtime.Goexit() // as t.FailNow does
						}
						return nil
					},
				})
				synctest.Wait()
				stop()
				if err := result(); err != nil {
					t.Error(err)
				}
				want(t, f, "acknowledge:2 again:1")
			})
		})
	}
}

func TestWorkersDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(2)
		stopped := 0
		stop, result := runWorkers(t, messaging.Workers{
			Source: source(), Next: f.next, Stop: func() { stopped++ },
			Handler: func(ctx context.Context, _ *messaging.Delivery) error { time.Sleep(10 * time.Second); return ctx.Err() },
		})
		synctest.Wait()
		stop()
		if err := result(); err != nil {
			t.Errorf("the handler finished in time, and Run returned %v", err)
		}
		if stopped != 1 {
			t.Errorf("Stop was called %d times", stopped)
		}
		want(t, f, "acknowledge:1") // the other was never taken
	})
}

func TestWorkersShutdownTimeout(t *testing.T) {
	obedient := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	hangs := func(context.Context) error { time.Sleep(time.Hour); return nil }
	finishes := func(ctx context.Context) error { <-ctx.Done(); return nil }
	for name, c := range map[string]struct {
		work      func(context.Context) error
		autoAck   bool
		cut       bool
		took      time.Duration
		settled   string
		errorText string
	}{
		"obedient":         {obedient, false, false, 30 * time.Second, "release:2", "2 handlers did not finish within the shutdown timeout (30s); their messages went back"},
		"obedient, cut":    {obedient, false, true, 0, "release:2", "2 handlers"},
		"hangs":            {hangs, false, false, 31 * time.Second, "release:2", "2 handlers did not finish within the shutdown timeout (30s)"},
		"hangs, cut":       {hangs, false, true, 50 * time.Millisecond, "release:2", "2 handlers did not finish before the broker was closed; their"},
		"finishes at last": {finishes, false, false, 30 * time.Second, "acknowledge:2", ""},
		"hangs, auto-ack":  {hangs, true, false, 31 * time.Second, "acknowledge:2", "were acknowledged before"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(2)
				w := messaging.Workers{
					Source:  source(func(s *messaging.Source) { s.Concurrency, s.AutoAck = 2, c.autoAck }),
					Next:    f.next,
					Handler: func(ctx context.Context, _ *messaging.Delivery) error { return c.work(ctx) },
				}
				if c.cut {
					cut := make(chan struct{})
					close(cut)
					w.Cut = cut
				}
				stop, result := runWorkers(t, w)
				synctest.Wait()
				start := time.Now()
				stop()
				err := result()
				if took := time.Since(start); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if (err == nil) != (c.errorText == "") || err != nil && !strings.Contains(err.Error(), c.errorText) {
					t.Errorf("error %v, want %q", err, c.errorText)
				}
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v is not context.DeadlineExceeded", err)
				}
				time.Sleep(2 * time.Hour) // what hung comes to its end, and settles nothing a second time
				want(t, f, c.settled)
			})
		})
	}
}

func TestWorkersAutoAckSettlesBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(1)
		stop, result := runWorkers(t, messaging.Workers{
			Source: source(func(s *messaging.Source) { s.AutoAck = true }), Next: f.next,
			Handler: func(context.Context, *messaging.Delivery) error {
				want(t, f, "acknowledge:1")
				return errors.New("too late")
			},
		})
		synctest.Wait()
		stop()
		if err := result(); err != nil {
			t.Error(err)
		}
		want(t, f, "acknowledge:1")
	})
}

// TestWorkersAutoAckFailuresAreLoggedOnceASecond: and none is uncounted.
func TestWorkersAutoAckFailuresAreLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		f := newFeed(1000)
		stop, result := runWorkers(t, messaging.Workers{
			Source: source(func(s *messaging.Source) { s.AutoAck = true }), Next: f.next,
			Log: slog.New(slog.NewTextHandler(&lines, nil)),
			Handler: func(context.Context, *messaging.Delivery) error {
				time.Sleep(10 * time.Millisecond)
				return errors.New("no use")
			},
		})
		time.Sleep(9500 * time.Millisecond) // 950 of them
		stop()
		if err := result(); err != nil {
			t.Error(err)
		}
		text, counted := lines.String(), 0
		for line := range strings.Lines(text) {
			_, others, _ := strings.Cut(line, "others=")
			var n int
			if _, err := fmt.Sscan(others, &n); err != nil || !strings.Contains(line, "level=WARN") {
				t.Errorf("%v: %s", err, line)
			}
			if counted += n; strings.Contains(line, "no use") {
				counted++
			}
		}
		handled := f.actions()["acknowledge"]
		if handled < 940 || counted != handled {
			t.Errorf("%d handlers failed, %d were logged or counted", handled, counted)
		}
		if n := strings.Count(text, "\n"); n != 11 || !strings.Contains(text, "handlers failed; the messages were acknowledged before") {
			t.Errorf("%d lines:\n%s", n, text)
		}
	})
}

func TestWorkersOrderBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(60)
		var mu sync.Mutex
		running, seen := map[byte]bool{}, map[byte][]string{}
		key := func(d *messaging.Delivery) string { return d.ID[len(d.ID)-1:] }
		stop, result := runWorkers(t, messaging.Workers{
			Source: source(func(s *messaging.Source) { s.Concurrency, s.OrderBy = 10, key }), Next: f.next,
			Handler: func(_ context.Context, d *messaging.Delivery) error {
				k := key(d)[0]
				mu.Lock()
				if running[k] {
					t.Errorf("two of key %c at once", k)
				}
				running[k], seen[k] = true, append(seen[k], d.ID)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				running[k] = false
				mu.Unlock()
				return nil
			},
		})
		time.Sleep(time.Minute)
		stop()
		if err := result(); err != nil {
			t.Error(err)
		}
		want(t, f, "acknowledge:60")
		for k, ids := range seen {
			for i := range ids {
				if ids[i] != strings.TrimLeft(fmt.Sprintf("%d%c", i, k), "0") && ids[i] != string(k) {
					t.Errorf("key %c was handled in the order %v", k, ids)
					break
				}
			}
		}
	})
}

// TestWorkersOrderByThatFails: the message is failed, and the others of its
// worker are handled.
func TestWorkersOrderByThatFails(t *testing.T) {
	for how, fail := range map[string]func(){
		"panicked":            func() { panic("on purpose") },
		"ended its goroutine": runtime.Goexit,
	} {
		for autoAck, settled := range map[bool]string{false: "acknowledge:9 again:1", true: "acknowledge:10"} {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(10)
				var log bytes.Buffer
				handled := 0
				stop, result := runWorkers(t, messaging.Workers{
					Source: source(func(s *messaging.Source) {
						s.AutoAck = autoAck
						s.OrderBy = func(d *messaging.Delivery) string {
							if d.ID == "3" {
								fail()
							}
							return ""
						}
					}),
					Next: f.next, Log: slog.New(slog.NewTextHandler(&log, nil)),
					Handler: func(context.Context, *messaging.Delivery) error { handled++; return nil },
				})
				synctest.Wait()
				stop()
				if err := result(); err != nil || handled != 9 {
					t.Errorf("%s: %d of 9 were handled: %v", how, handled, err)
				}
				want(t, f, settled)
				if autoAck && !strings.Contains(log.String(), "Source.OrderBy "+how) {
					t.Errorf("%s: the log does not say so: %s", how, log.String())
				}
				if how == "panicked" && !strings.Contains(log.String(), "work_test.go") {
					t.Errorf("no stack in the log: %s", log.String())
				}
			})
		}
	}
}

func TestWorkersReleaseWhatWaitsForItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(5)
		stop, result := runWorkers(t, messaging.Workers{
			Source: source(func(s *messaging.Source) {
				s.Concurrency, s.OrderBy = 3, func(*messaging.Delivery) string { return "same" }
			}), Next: f.next,
			Handler: func(context.Context, *messaging.Delivery) error { time.Sleep(time.Second); return nil },
		})
		synctest.Wait()
		stop()
		if err := result(); err != nil {
			t.Error(err)
		}
		want(t, f, "acknowledge:1 release:4")
	})
}

func TestWorkersHandlerMayChangeTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(1)
		stop, result := runWorkers(t, messaging.Workers{
			Source: source(), Next: f.next,
			Handler: func(_ context.Context, d *messaging.Delivery) error {
				*d = messaging.Delivery{Attempt: 1000}
				return errors.New("again")
			},
		})
		synctest.Wait()
		stop()
		if err := result(); err != nil {
			t.Error(err)
		}
		want(t, f, "again:1") // by the attempt it really was
	})
}

// bare is the cheapest adapter there can be: it prices the core.
type bare struct {
	d    messaging.Delivery
	left int
	end  func()
}

func (b *bare) Delivery() *messaging.Delivery { return &b.d }
func (b *bare) Settle(messaging.Decision)     {}
func (b *bare) next(context.Context) messaging.Job {
	if b.left--; b.left < 0 {
		b.end()
		return nil
	}
	return b
}

func handleBare(tb testing.TB, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	b := &bare{left: n, end: cancel}
	w := messaging.Workers{Source: source(), Next: b.next, Handler: func(context.Context, *messaging.Delivery) error { return nil }, Log: quiet}
	if err := w.Run(ctx); err != nil {
		tb.Fatal(err)
	}
}

func TestWorkersAlloc(t *testing.T) {
	const n = 10_000
	allocs := testing.AllocsPerRun(10, func() { handleBare(t, n) })
	if allocs > 40 { // those of starting and stopping
		t.Errorf("%v allocations for %d messages", allocs, n)
	}
}

func BenchmarkWorkers(b *testing.B) {
	b.ReportAllocs()
	handleBare(b, b.N)
}
