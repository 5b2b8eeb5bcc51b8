package memory_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestDeclareNamesWhatDiffers(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		spec := messaging.QueueSpec{Name: "hello", MaxLength: 5, TTL: time.Second}
		must(t, b.Declare(t.Context(), spec))
		must(t, b.Declare(t.Context(), spec))
		for want, change := range map[string]func(*messaging.QueueSpec){
			"MaxLength is 5, not 10":                          func(s *messaging.QueueSpec) { s.MaxLength = 10 },
			"Transient is false, not true":                    func(s *messaging.QueueSpec) { s.Transient = true },
			"Exclusive is false, not true":                    func(s *messaging.QueueSpec) { s.Exclusive = true },
			"AutoDelete is false, not true":                   func(s *messaging.QueueSpec) { s.AutoDelete = true },
			"SingleActive is false, not true":                 func(s *messaging.QueueSpec) { s.SingleActive = true },
			"Overflow is reject-publish, not drop-head":       func(s *messaging.QueueSpec) { s.Overflow = messaging.DropOldest },
			"TTL is 1s, not 2s":                               func(s *messaging.QueueSpec) { s.TTL = 2 * time.Second },
			"Exclusive is false, not true, TTL is 1s, not 0s": func(s *messaging.QueueSpec) { s.Exclusive, s.TTL = true, 0 },
		} {
			other := spec
			change(&other)
			err := b.Declare(t.Context(), other)
			mustBe(t, err, messaging.ErrMismatch)
			if got := err.Error(); got != "declare queue:hello: exists with other properties: "+want {
				t.Errorf("got %q", got)
			}
		}
	})
}

func TestDeclareTakesEqualMeaningAsEqual(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "q", TTL: 1500 * time.Microsecond}))
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "q", TTL: 2 * time.Millisecond}))
	})
}

// TestErrorTexts: what was being done and to which address, once.
func TestErrorTexts(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		ctx, cancel := context.WithCancel(t.Context())
		publish(t, b, work, "one")
		slow := messaging.Source{Address: work, ShutdownTimeout: time.Second}
		err := b.Subscribe(ctx, slow, func(ctx context.Context, _ *messaging.Delivery) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		_, inspect := b.Inspect(t.Context(), messaging.Address{})
		for want, err := range map[string]error{
			"declare: QueueSpec.Name is empty; it needs 1 to 255 bytes": b.Declare(t.Context(), messaging.QueueSpec{}),
			"inspect: Address is empty; use Queue(name) or Topic(name)": inspect,
			"subscribe to queue:work: 1 handlers did not finish within the shutdown timeout (1s); " +
				"their messages went back to the queue: context deadline exceeded": err,
		} {
			if err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

func TestManageErrors(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		none := messaging.Queue("none")
		_, err := b.Inspect(t.Context(), none)
		mustBe(t, err, messaging.ErrNotFound)
		_, err = b.Purge(t.Context(), none)
		mustBe(t, err, messaging.ErrNotFound)
		must(t, b.Delete(t.Context(), none))
		must(t, b.Delete(t.Context(), messaging.Topic("work")))
		expectInfo(t, b, work, 0, 0, 0)

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range everyCall(ended, b) {
			if name != "Subscribe" { // it has nothing to do, and says nil
				mustBe(t, err, context.Canceled)
			}
		}
		for _, err := range []error{
			b.Declare(t.Context(), messaging.QueueSpec{}),
			b.Delete(t.Context(), messaging.Address{}),
			b.Bind(t.Context(), messaging.Source{}),
			b.Subscribe(t.Context(), messaging.Source{Address: work}, nil),
		} {
			if err == nil {
				t.Error("no error for bad input")
			}
		}
		must(t, b.Close(t.Context()))
		for name, err := range everyCall(t.Context(), b) {
			mustBe(t, err, messaging.ErrClosed)
			if !strings.Contains(err.Error(), "work") {
				t.Errorf("%s does not say which queue: %v", name, err)
			}
		}
	})
}

// everyCall makes one call of each method that talks to the broker.
func everyCall(ctx context.Context, b *memory.Broker) map[string]error {
	_, inspect := b.Inspect(ctx, work)
	_, purge := b.Purge(ctx, work)
	_, get := b.Get(ctx, messaging.Source{Address: work})
	return map[string]error{
		"Inspect":   inspect,
		"Purge":     purge,
		"Get":       get,
		"Delete":    b.Delete(ctx, work),
		"Declare":   b.Declare(ctx, messaging.QueueSpec{Name: "work"}),
		"Publish":   b.Publish(ctx, work, messages("a")...),
		"Subscribe": b.Subscribe(ctx, messaging.Source{Address: work}, newStation().accept),
	}
}

func TestGet(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("new")
		_, err := messaging.Get(t.Context(), b, messaging.Source{Address: q})
		mustBe(t, err, messaging.ErrNotFound)
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "new"}))
		_, err = messaging.Get(t.Context(), b, messaging.Source{Address: q})
		mustBe(t, err, messaging.ErrEmpty)
		publish(t, b, q, "a", "b")
		p, err := messaging.Get(t.Context(), b, messaging.Source{Address: q})
		must(t, err)
		expectInfo(t, b, q, 1, 1, 0)
		must(t, p.Settle(nil))
		mustBe(t, p.Settle(nil), messaging.ErrSettled)
		expectInfo(t, b, q, 1, 0, 0)
		must(t, get(t, b, q).Settle(messaging.Reject(nil)))
		expectInfo(t, b, messaging.Queue("new.dead"), 1, 0, 0)
	})
}

func TestMessages(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, numbered(50)...)
		n := 0
		for m, err := range messaging.Messages(t.Context(), b, messaging.Source{Address: work}, time.Second) {
			must(t, err)
			must(t, m.Settle(nil))
			n++
		}
		if n != 50 {
			t.Errorf("got %d messages", n)
		}
		expectInfo(t, b, work, 0, 0, 0)
	})
}

func TestOpen(t *testing.T) {
	b, err := messaging.Open(t.Context(), "memory://")
	must(t, err)
	must(t, b.Close(t.Context()))
	for _, url := range []string{
		"memory://host", "memory:///path", "memory://?a=b", "memory://#f", "memory://user:secret@", "memory:///",
	} {
		_, err := messaging.Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "memory://") {
			t.Errorf("%s: got error %v", url, err)
		}
	}
}
