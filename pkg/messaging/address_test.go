package messaging_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/warrenmq/warren/pkg/messaging"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]messaging.Address{
		"queue:hello":    messaging.Queue("hello"),
		"topic:logs":     messaging.Topic("logs"),
		"queue:a:b.c":    messaging.Queue("a:b.c"),
		"queue:工作 queue": messaging.Queue("工作 queue"),
	} {
		got, err := messaging.ParseAddress(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseAddress(%q) = %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                  "queue:NAME",
		"hello":                             "queue:NAME",
		"exchange:x":                        "queue:NAME",
		"queue:":                            "Address.Name is empty",
		"topic:":                            "Address.Name is empty",
		"queue:a\nb":                        "control character at byte 1",
		"queue:\xff":                        "not UTF-8",
		"queue:" + strings.Repeat("x", 256): "256 bytes; the limit is 255",
	} {
		if _, err := messaging.ParseAddress(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseAddress(%q): %v; want an error with %q", text, err, want)
		}
	}
}

func TestAddressAsJSON(t *testing.T) {
	type config struct{ To, None messaging.Address }
	data, err := json.Marshal(config{To: messaging.Queue("hello")})
	if err != nil || string(data) != `{"To":"queue:hello","None":""}` {
		t.Fatalf("%s, %v", data, err)
	}
	var back config
	if err := json.Unmarshal(data, &back); err != nil || back.To != messaging.Queue("hello") || !back.None.IsZero() {
		t.Errorf("%+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"To":"nowhere"}`), &back); err == nil {
		t.Error("an address without a kind was read")
	}
}

func TestAddressKinds(t *testing.T) {
	q, topic, none := messaging.Queue("q"), messaging.Topic("t"), messaging.Address{}
	if !q.IsQueue() || q.IsTopic() || q.IsZero() || q.Name() != "q" {
		t.Errorf("%#v", q)
	}
	if topic.IsQueue() || !topic.IsTopic() || topic.IsZero() {
		t.Errorf("%#v", topic)
	}
	if !none.IsZero() || none.Validate() == nil || none.String() != "" {
		t.Errorf("%#v", none)
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("queue:hello")
	f.Add("topic:a.b")
	f.Add("queue:\x00")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := messaging.ParseAddress(s)
		if err != nil {
			return
		}
		if a.String() != s || a.Validate() != nil {
			t.Errorf("%q was read as %q, %v", s, a, a.Validate())
		}
	})
}
