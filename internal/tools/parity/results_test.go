package main

import (
	"strings"
	"testing"

	_ "pgregory.net/rapid" // so that this test binary knows -rapid.checks too

	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

func TestReadAndRender(t *testing.T) {
	const events = `{"Action":"run","Test":"TestX"}
{"Action":"output","Test":"TestX/P1_stored","Output":"    messagingtest.go:1: missing: it has no queues\n"}
{"Action":"pass","Test":"TestX/P1_stored"}
{"Action":"pass","Test":"TestX/P2_order"}
{"Action":"fail","Test":"TestX/P4_unroutable"}
{"Action":"fail","Test":"TestX"}
`
	r, _, err := read(strings.NewReader(events), "TestX")
	if err != nil {
		t.Fatal(err)
	}
	if r["P1_stored"].state != "missing" || r["P1_stored"].missing != "it has no queues" || r["P2_order"].state != "pass" || r["P4_unroutable"].state != "fail" {
		t.Errorf("%+v", r)
	}
	for _, must := range []bool{true, false} {
		bad := r.bad(must)
		if !strings.Contains(bad, "P4_unroutable") || strings.Contains(bad, "P2_order") || strings.Contains(bad, "P1_stored") != must {
			t.Errorf("must=%t: %s", must, bad)
		}
		if !strings.Contains(bad, "S5_close") {
			t.Errorf("a case that did not run is not named: %s", bad)
		}
	}
	text := render([]column{{title: "X"}}, []results{r}, "no root")
	for _, want := range []string{"| rule | what it says | X |", "- P1_stored: it has no queues", "not to be had where this page was written: no root"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if rows := strings.Count(text, "\n| ") - 2; rows != len(messagingtest.Cases()) {
		t.Errorf("%d rows for %d cases", rows, len(messagingtest.Cases()))
	}
	if _, _, err := read(strings.NewReader("no json"), "TestX"); err == nil {
		t.Error("what is no event was read")
	}
}
