package messaging_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

func TestSourceDefaults(t *testing.T) {
	s := messaging.Source{Address: messaging.Queue("q")}.WithDefaults()
	if s.Concurrency != 1 || s.Prefetch != 32 || s.ShutdownTimeout != 30*time.Second || s.AutoAck {
		t.Errorf("%+v", s)
	}
	if r := s.Retry; r != (messaging.Retry{MaxAttempts: 5, Min: time.Second, Max: time.Minute, DeadLetter: messaging.Queue("q.dead")}) {
		t.Errorf("%+v", r)
	}
	wide := messaging.Source{Address: messaging.Queue("q"), Concurrency: 100}.WithDefaults()
	if wide.Prefetch != 200 {
		t.Errorf("Concurrency 100 gives Prefetch %d", wide.Prefetch)
	}
	for _, c := range []struct{ min, max, wantMin, wantMax time.Duration }{
		{2 * time.Minute, 0, 2 * time.Minute, 2 * time.Minute},
		{0, 100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond},
		{time.Millisecond, 0, time.Millisecond, time.Minute},
		{0, time.Hour, time.Second, time.Hour},
	} {
		r := messaging.Source{Retry: messaging.Retry{Min: c.min, Max: c.max}}.WithDefaults().Retry
		if r.Min != c.wantMin || r.Max != c.wantMax {
			t.Errorf("Min %s, Max %s became %s, %s", c.min, c.max, r.Min, r.Max)
		}
	}
	if again := s.WithDefaults(); again.Retry != s.Retry || again.Prefetch != s.Prefetch {
		t.Error("WithDefaults changes what has its defaults")
	}
}

func TestCheckSubscribeRefuses(t *testing.T) {
	q, topic := messaging.Queue("q"), messaging.Topic("t")
	handler := func(context.Context, *messaging.Delivery) error { return nil }
	for want, s := range map[string]messaging.Source{
		"Source.Address is empty":                         {},
		"Source.Address.Name is empty":                    {Address: messaging.Queue("")},
		"Source.Group is for topics; queue:q is a queue":  {Address: q, Group: "g"},
		"Source.Keys is for topics; queue:q is a queue":   {Address: q, Keys: []string{"a"}},
		"Source.Group has a control character":            {Address: topic, Group: "a\n"},
		"Source.Group makes a queue name of 256 bytes":    {Address: topic, Group: strings.Repeat("x", 254)},
		`Source.Keys has "a..b", which has an empty word`: {Address: topic, Keys: []string{"#", "a..b"}},
		`Source.Keys has "", which has an empty word`:     {Address: topic, Keys: []string{""}},
		`Source.Keys has "a.b*", which has a wildcard`:    {Address: topic, Keys: []string{"a.b*"}},
		"which has 256 bytes; the limit is 255":           {Address: topic, Keys: []string{strings.Repeat("x", 256)}},
		"Source.Concurrency is negative":                  {Address: q, Concurrency: -1},
		"Source.Prefetch is negative":                     {Address: q, Prefetch: -1},
		"Source.ShutdownTimeout is negative":              {Address: q, ShutdownTimeout: -1},
		"Source.Prefetch is 2, less than":                 {Address: q, Prefetch: 2, Concurrency: 3},
		"Source.Prefetch is 65536; the limit":             {Address: q, Prefetch: 65536},
		"Source.Concurrency is 65536; the limit":          {Address: q, Concurrency: 65536},
		"Source.Retry.Min is -1s":                         {Address: q, Retry: messaging.Retry{Min: -time.Second}},
		"Source.Retry.Max is -1s":                         {Address: q, Retry: messaging.Retry{Max: -time.Second}},
		"Source.Retry.Min is 2s, more than":               {Address: q, Retry: messaging.Retry{Min: 2 * time.Second, Max: time.Second}},
		"Source.Retry.DeadLetter is topic:t":              {Address: q, Retry: messaging.Retry{DeadLetter: messaging.Topic("t")}},
		"Source.Retry.DeadLetter is the source":           {Address: q, Retry: messaging.Retry{DeadLetter: q}},
		"Source.Retry.DeadLetter.Name has 256 bytes":      {Address: q, Retry: messaging.Retry{DeadLetter: messaging.Queue(strings.Repeat("x", 256))}},
		"with .dead appended, the name has 260 bytes, and the limit is 255; set Source.Retry.DeadLetter": {Address: messaging.Queue(strings.Repeat("x", 255))},
		"Source.Address is queue:amq.mine; names that begin with amq. are reserved for the broker":       {Address: messaging.Queue("amq.mine")},
		"Source.Address is topic:amq.mine; names":                                                        {Address: messaging.Topic("amq.mine")},
		`Source.Group makes the queue name "amq.topic.g"`:                                                {Address: messaging.Topic("amq.topic"), Group: "g"},
		"queue:amq.topic.dead begins with amq., which is re":                                             {Address: messaging.Topic("amq.topic")},
		"Source.Retry.DeadLetter is queue:amq.mine; names":                                               {Address: q, Retry: messaging.Retry{DeadLetter: messaging.Queue("amq.mine")}},
	} {
		if _, err := messaging.CheckSubscribe(s, handler); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got: %v", want, err)
		}
	}
	if _, err := messaging.CheckSubscribe(messaging.Source{Address: q}, nil); err == nil || !strings.Contains(err.Error(), "Handler is nil") {
		t.Errorf("nil handler: %v", err)
	}
	for _, s := range []messaging.Source{ // which need no default for their dead letters
		{Address: messaging.Queue(strings.Repeat("x", 255)), AutoAck: true},
		{Address: messaging.Queue(strings.Repeat("x", 255)), Retry: messaging.Retry{DeadLetter: q}},
		{Address: messaging.Topic("amq.topic"), AutoAck: true},
		{Address: messaging.Topic("amq.fanout"), Retry: messaging.Retry{DeadLetter: q}},
	} {
		if _, err := messaging.CheckSubscribe(s, handler); err != nil {
			t.Error(err)
		}
	}
	if s, err := messaging.CheckSubscribe(messaging.Source{Address: q}, handler); err != nil || s.Concurrency != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSourceOnATopic(t *testing.T) {
	for _, keys := range [][]string{nil, {"#"}, {"#.#"}, {"*.a.#", "b"}, {"order-placed_2"}} {
		s := messaging.Source{Address: messaging.Topic("t"), Group: "g", Keys: keys}
		if err := s.Validate(); err != nil {
			t.Errorf("%v: %v", keys, err)
		}
		if s.Queue() != messaging.Queue("t.g") || s.WithDefaults().Retry.DeadLetter != messaging.Queue("t.g.dead") {
			t.Errorf("queue %s, dead letters %s", s.Queue(), s.WithDefaults().Retry.DeadLetter)
		}
	}
	private := messaging.Source{Address: messaging.Topic("t")}
	if dead := private.WithDefaults().Retry.DeadLetter; dead != messaging.Queue("t.dead") {
		t.Errorf("a private subscription's dead letters go to %s", dead)
	}
}

func TestBackoffBounds(t *testing.T) {
	boom := errors.New("boom")
	r := messaging.Retry{MaxAttempts: -1, Min: 100 * time.Millisecond, Max: time.Second}
	for attempt, want := range map[int][2]time.Duration{
		1:   {100 * time.Millisecond, 125 * time.Millisecond},
		2:   {200 * time.Millisecond, 250 * time.Millisecond},
		4:   {800 * time.Millisecond, time.Second},
		5:   {800 * time.Millisecond, time.Second},
		64:  {800 * time.Millisecond, time.Second},
		999: {800 * time.Millisecond, time.Second},
	} {
		seen := map[time.Duration]bool{}
		for range 1000 {
			wait := messaging.Decide(boom, attempt, r).Wait
			seen[wait] = true
			if wait < want[0] || wait > want[1] {
				t.Fatalf("attempt %d waits %s, not %s to %s", attempt, wait, want[0], want[1])
			}
		}
		if len(seen) < 100 {
			t.Errorf("attempt %d: %d different waits in 1,000; where is the jitter?", attempt, len(seen))
		}
	}
	same := messaging.Retry{MaxAttempts: -1, Min: time.Second, Max: time.Second}
	if wait := messaging.Decide(boom, 7, same).Wait; wait != time.Second {
		t.Errorf("Min = Max = 1 s waits %s", wait)
	}
}

func TestQueueSpecRefuses(t *testing.T) {
	for want, q := range map[string]messaging.QueueSpec{
		"QueueSpec.Name is empty":                {},
		"QueueSpec.Name has 256 bytes":           {Name: strings.Repeat("x", 256)},
		"QueueSpec.Name has a control character": {Name: "a\tb"},
		"QueueSpec.Overflow is DropOldest, but":  {Name: "q", Overflow: messaging.DropOldest},
		"reserved for the broker":                {Name: "amq.mine"},
		"QueueSpec.MaxLength is negative":        {Name: "q", MaxLength: -1},
		"QueueSpec.TTL is -1s":                   {Name: "q", TTL: -time.Second},
		"QueueSpec.Overflow is 9":                {Name: "q", Overflow: 9},
	} {
		if err := q.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got: %v", want, err)
		}
	}
	if err := (messaging.QueueSpec{Name: "q"}).Validate(); err != nil {
		t.Error(err)
	}
}
