package main

import (
	"strings"
	"testing"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestPrinter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		events string
		want   string
		ok     bool
	}{
		{
			name: "a passing package is one line",
			events: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a.go:1: said\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p","Elapsed":0.01}
`,
			want: "ok  \tp\t0.01s\n",
			ok:   true,
		},
		{
			name: "a failing test is shown, its passing neighbour is not",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"fine\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b.go:1: wrong\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}
`,
			want: "    b.go:1: wrong\nFAIL\nFAIL\tp\t0.01s\n",
			ok:   true,
		},
		{
			name: "what a test said before a panic is shown",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"panic: no\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}
`,
			want: "FAIL\tp\t0.01s\npanic: no\n",
			ok:   true,
		},
		{
			name: "a skipped test fails the run and gives its reason",
			events: `{"Action":"output","Package":"p","Test":"TestA/sub","Output":"=== RUN   TestA/sub\n"}
{"Action":"output","Package":"p","Test":"TestA/sub","Output":"    a.go:1: no broker\n"}
{"Action":"output","Package":"p","Test":"TestA/sub","Output":"--- SKIP: TestA/sub (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA/sub"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p"}
`,
			want: "ok  \tp\t0.01s\n\nFAIL: 1 tests were skipped, and this run must skip none:\n   p TestA/sub: a.go:1: no broker\n",
		},
		{
			name: "a feature that is off in Watermill's suite is no skipped test",
			events: `{"Action":"skip","Package":"m/adapters/watermill","Test":"TestUniversal/memory/TestReconnect/01234567-89ab-cdef-0123-456789abcdef"}
{"Action":"output","Package":"m/adapters/watermill","Output":"ok  \tm/adapters/watermill\t0.01s\n"}
`,
			want: "ok  \tm/adapters/watermill\t0.01s\n",
			ok:   true,
		},
		{
			name: "any other skip there is one",
			events: `{"Action":"skip","Package":"m/adapters/watermill","Test":"TestUniversal/memory/TestNoAck/01234567-89ab-cdef-0123-456789abcdef"}
{"Action":"skip","Package":"m/adapters/watermill","Test":"TestUniversal/memory"}
`,
			want: "\nFAIL: 2 tests were skipped, and this run must skip none:\n" +
				"   m/adapters/watermill TestUniversal/memory/TestNoAck/01234567-89ab-cdef-0123-456789abcdef:\n" +
				"   m/adapters/watermill TestUniversal/memory:\n",
		},
		{
			name: "a package without tests is no skipped test",
			events: `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}
{"Action":"skip","Package":"p"}
`,
			want: "?   \tp\t[no test files]\n",
			ok:   true,
		},
		{
			name: "a password in what a test wrote fails the run, though the test passed, and is not printed",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"dial amqp://u:s3cret@h and t0p\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"s3cret on its own\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
s3cret, and no event`,
			want: "PASSWORD on its own\nok  \tp\t0.01s\nPASSWORD, and no event" +
				"\nFAIL: 4 lines of the tests' output show a password:\n" +
				"   p TestA: dial amqp://u:PASSWORD@h and t0p\n   p TestA: dial amqp://u:PASSWORD@h and PASSWORD\n" +
				"   p : PASSWORD on its own\n   : PASSWORD, and no event\n",
		},
		{
			name: "compiler errors and foreign lines are shown",
			events: `{"ImportPath":"p","Action":"build-output","Output":"# p\n"}
{"ImportPath":"p","Action":"build-fail"}
not an event`,
			want: "# p\nnot an event",
			ok:   true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			p := newPrinter(&out, "s3cret", "t0p")
			if err := p.readAll(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			if ok := p.report(); ok != c.ok {
				t.Errorf("complete: %v, want %v", ok, c.ok)
			}
			if out.String() != c.want {
				t.Errorf("printed\n%s\nwant\n%s", out.String(), c.want)
			}
		})
	}
}
