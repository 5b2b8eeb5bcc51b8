package messaging_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

func TestPrepareFillsIn(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	empty, full := &messaging.Message{}, &messaging.Message{ID: "mine", Time: at}
	if err := messaging.Prepare(messaging.Queue("q"), []*messaging.Message{empty, full}); err != nil {
		t.Fatal(err)
	}
	if empty.ID == "" || time.Since(empty.Time) > time.Minute || empty.Time.Nanosecond()%int(time.Millisecond) != 0 {
		t.Errorf("filled in: %+v", empty)
	}
	if full.ID != "mine" || !full.Time.Equal(at) {
		t.Errorf("changed: %+v", full)
	}
}

func TestPrepareRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	for want, m := range map[string]*messaging.Message{
		"Message is nil":                                    nil,
		"Message.ID has 256 bytes":                          {ID: long},
		"Message.Type has 256 bytes":                        {Type: long},
		"Message.ContentType has 256 bytes":                 {ContentType: long},
		"Message.CorrelationID has 256 bytes":               {CorrelationID: long},
		"Message.ReplyTo has 256 bytes":                     {ReplyTo: long},
		"Message.ReplyTo has a control character at byte 1": {ReplyTo: "a\nb"},
		"Message.ReplyTo is not UTF-8":                      {ReplyTo: "\xff"},
		"Message.Key has 256 bytes":                         {Key: long},
		"Message.TTL is -1s":                                {TTL: -time.Second},
		"Message.TTL is 1201h0m0s; the limit":               {TTL: 1201 * time.Hour},
		"Message.Delay is -1ns":                             {Delay: -1},
		"Message.Delay is 721h0m0s; the limit":              {Delay: 721 * time.Hour},
		"Message.Headers has an empty key":                  {Headers: map[string]string{"": "v"}},
		"Message.Headers has a key of 256 bytes":            {Headers: map[string]string{long: "v"}},
	} {
		good := &messaging.Message{}
		err := messaging.Prepare(messaging.Queue("q"), []*messaging.Message{good, m})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "publish to queue:q: message 1: ") {
			t.Errorf("want an error with %q, got: %v", want, err)
		}
		if good.ID != "" {
			t.Errorf("%s: the call failed, and a message was changed all the same", want)
		}
	}
	if err := messaging.Prepare(messaging.Address{}, nil); err == nil || !strings.Contains(err.Error(), "publish: Address is empty") {
		t.Errorf("no address: %v", err)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	m := messaging.Message{Headers: map[string]string{"k": "v"}, Body: []byte("body")}
	c := m.Clone()
	c.Headers["k"], c.Body[0] = "changed", 'X'
	if m.Headers["k"] != "v" || string(m.Body) != "body" {
		t.Errorf("the clone's change shows: %+v", m)
	}
}

func TestNewID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	var sequence []string
	for range 1000 {
		id := messaging.NewID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("%q is no UUIDv7, or not unique", id)
		}
		seen[id] = true
		sequence = append(sequence, id[:18])
	}
	if !slices.IsSorted(sequence) {
		t.Error("IDs made in sequence do not sort in sequence")
	}
}

func TestPrepareMakesUniqueIDs(t *testing.T) {
	msgs := make([]*messaging.Message, 10_000)
	for i := range msgs {
		msgs[i] = &messaging.Message{}
	}
	if err := messaging.Prepare(messaging.Queue("q"), msgs); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range msgs {
		if seen[m.ID] {
			t.Fatalf("%s was given twice", m.ID)
		}
		seen[m.ID] = true
	}
}

func TestPrepareAlloc(t *testing.T) {
	msgs := []*messaging.Message{{}}
	allocs := testing.AllocsPerRun(1000, func() {
		*msgs[0] = messaging.Message{}
		if err := messaging.Prepare(messaging.Queue("q"), msgs); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 { // the ID
		t.Errorf("%v allocations for a message", allocs)
	}
}
