package rabbitmq

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// FuzzURL: any URL is read or refused, with an error that does not show its
// password, and what is read is within its bounds.
func FuzzURL(f *testing.F) {
	f.Add("h1,h2:5673", "vhost", "heartbeat=10&queue_type=classic")
	f.Add("", "", "max_message_size=16MiB&connect_timeout=5s")
	f.Add("[::1]:5672", "%2F", "publish_timeout=1h&heartbeat=1ns")
	f.Add("h:99999", "a/b", "colour=red")
	f.Fuzz(func(t *testing.T, hosts, vhost, query string) {
		const secret = "s3cret-word"
		if strings.Contains(hosts+vhost+query, "s3c") {
			return
		}
		u, err := messaging.ParseURL("amqps://user:" + secret + "@" + hosts + "/" + vhost + "?" + query)
		if err != nil {
			noPassword(t, err)
			return
		}
		c, err := parseConfig(u)
		if err != nil {
			noPassword(t, err)
			return
		}
		c = c.withDefaults()
		if len(c.hosts) == 0 || c.heartbeat < time.Second || c.connectTimeout <= 0 || c.publishTimeout <= 0 || c.maxMessageSize <= 0 || len(c.name) > 200 {
			t.Errorf("%+v", c)
		}
	})
}

// FuzzDecode: whatever a message has, it is decoded, and what is sent on of it,
// as a retry and as a dead letter, has its headers with their types. The input
// is as in testdata/foreign.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/foreign/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "12")
	}
	f.Add([]byte(`[{"headers":{"x-warren-failures":{"l":-5},"x-warren-death":{"F":{"x-death":{"A":[{"V":null}]}}}}}]`), "-5")
	f.Fuzz(func(t *testing.T, text []byte, expiration string) {
		var list []foreign
		if json.Unmarshal(text, &list) != nil {
			return
		}
		for _, one := range list {
			if p, ok := tryPublishing(t, one); ok {
				p.Expiration = expiration
				checkDecoded(t, p)
			}
		}
	})
}

// tryPublishing makes a message of what the fuzzer came up with, if it is one.
func tryPublishing(t *testing.T, f foreign) (p amqp.Publishing, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	f.Properties = nil // their types are fixed
	p = f.publishing(t)
	return p, checkPublishing(&p, defaultMaxMessageSize, frameSize) == nil
}

// checkDecoded decodes a message as a consumer does, and sends it on.
func checkDecoded(t *testing.T, p amqp.Publishing) {
	t.Helper()
	j := &job{raw: arrive(p), queue: "q"}
	j.control = takeControl(&j.raw)
	m, err := decode(Marshaler{}, j.raw, &j.control)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Body, p.Body) || m.TTL < 0 || j.control.failures < 0 {
		t.Errorf("%+v, %+v", m, j.control)
	}
	rejected := messaging.Decide(messaging.Reject(nil), 1, messaging.Retry{})
	for name, copied := range map[string]amqp.Publishing{
		"retry": retryCopy(&j.raw, &j.control, 1, time.UnixMilli(1)),
		"dead":  deadCopy(j, messaging.Queue("q"), rejected, frameSize),
	} {
		again := arrive(copied)
		takeControl(&again)
		for key, value := range j.raw.Headers {
			got, there := again.Headers[key]
			if !messaging.IsDeadLetterHeader(key) && (!there || !reflect.DeepEqual(got, value)) {
				t.Errorf("%s: header %q was %#v and is %#v", name, key, value, got)
			}
		}
	}
}
