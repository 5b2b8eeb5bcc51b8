package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestNotInMemory(t *testing.T) {
	for _, url := range []string{"memory://", "Memory://", "memory://x"} {
		err := NotInMemory(url)
		if usage := (*UsageError)(nil); !errors.As(err, &usage) {
			t.Errorf("%s: error is %v, want a usage error", url, err)
		} else if !strings.Contains(err.Error(), "hello") {
			t.Errorf("%s: the error does not point to hello: %v", url, err)
		}
	}
	for _, url := range []string{"amqp://localhost", "", "nonsense"} {
		if err := NotInMemory(url); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestWithBroker(t *testing.T) {
	failing := errors.New("it failed")
	var used messaging.Broker
	err := WithBroker(t.Context(), "memory://", time.Second, func(b messaging.Broker) error {
		used = b
		if state := b.Health().State; state != messaging.Connected {
			t.Errorf("state is %s", state)
		}
		return failing
	})
	if !errors.Is(err, failing) {
		t.Errorf("error is %v, want %v", err, failing)
	}
	if state := used.Health().State; state != messaging.Closed {
		t.Errorf("state is %s, want it closed", state)
	}
}

func TestWithBrokerThatCannotBeOpened(t *testing.T) {
	err := WithBroker(t.Context(), "none://user:secret@host/", time.Second, func(messaging.Broker) error {
		t.Error("called")
		return nil
	})
	want := "--url (MESSAGING_URL) begins with none://; this program knows memory://"
	if usage := (*UsageError)(nil); !errors.As(err, &usage) || err.Error() != want {
		t.Errorf("error is %v, want the usage error %s", err, want)
	}
	for _, url := range []string{"", "memory", "memory://host", "amqp://user:sec ret@host"} {
		err := WithBroker(t.Context(), url, time.Second, func(messaging.Broker) error { return nil })
		if usage := (*UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--url") {
			t.Errorf("%q: error is %v, want a usage error", url, err)
		}
	}
}

func TestPrepareQueue(t *testing.T) {
	exists := func(b messaging.Broker) error {
		_, err := b.Inspect(context.Background(), messaging.Queue("q"))
		return err
	}
	for _, test := range []struct {
		name   string
		before *messaging.QueueSpec
		how    Declare
		want   error
	}{
		{"missing, created", nil, DeclareMissing, nil},
		{"missing, default", nil, "", nil},
		{"missing, tutorial", nil, DeclareTutorial, nil},
		{"missing, never", nil, DeclareNever, messaging.ErrNotFound},
		{"exists, used as it is", &messaging.QueueSpec{Name: "q", MaxLength: 7}, DeclareMissing, nil},
		{"exists, never", &messaging.QueueSpec{Name: "q", MaxLength: 7}, DeclareNever, nil},
		{"exists as the tutorial's", &messaging.QueueSpec{Name: "q", Transient: true}, DeclareTutorial, nil},
		{"exists as another", &messaging.QueueSpec{Name: "q", MaxLength: 7}, DeclareTutorial, messaging.ErrMismatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := memory.New()
			defer b.Close(t.Context())
			if test.before != nil {
				if err := b.Declare(t.Context(), *test.before); err != nil {
					t.Fatal(err)
				}
			}
			if err := PrepareQueue(t.Context(), b, "q", test.how); !errors.Is(err, test.want) {
				t.Fatalf("error is %v, want %v", err, test.want)
			}
			if err := exists(b); test.want == nil && err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestPrepareQueueThatNobodyMayDeclare(t *testing.T) {
	b := memory.New()
	defer b.Close(t.Context())
	for _, how := range []Declare{DeclareMissing, DeclareTutorial} {
		err := PrepareQueue(t.Context(), b, "amq.mine", how)
		if usage := (*UsageError)(nil); !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), `--queue is "amq.mine"; `) {
			t.Errorf("%s: error is %v, want a usage error about --queue", how, err)
		}
	}
}

// faster is a Manager in which somebody else declares the queue in between.
type faster struct{ messaging.Manager }

func (faster) Inspect(context.Context, messaging.Address) (messaging.QueueInfo, error) {
	return messaging.QueueInfo{}, messaging.ErrNotFound
}

func (faster) Declare(context.Context, messaging.QueueSpec) error { return messaging.ErrMismatch }

func TestPrepareQueueWhileSomebodyElseDeclaresIt(t *testing.T) {
	if err := PrepareQueue(t.Context(), faster{}, "q", DeclareMissing); err != nil {
		t.Errorf("error is %v; the queue is there, and used as it is", err)
	}
}
