package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

const root = "../../.."

// try checks the text of a page, as if it were in docs, and returns what is
// wrong with it.
func try(t *testing.T, w *workshop, text string) string {
	t.Helper()
	p, err := parsePage("docs/page.md", strings.ReplaceAll(text, "'''", "```"))
	if err != nil {
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var said []string
	for _, err := range w.checkPages(ctx, []*page{p}, func(checked) {}) {
		said = append(said, err.Error())
	}
	return strings.Join(said, "\n")
}

// brokerless is a workshop for pages that need no broker.
func brokerless(t *testing.T) *workshop {
	t.Helper()
	w, err := newWorkshop(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	w.port = "5672"
	return w
}

const prelude = `<!-- docs-check: prelude
import (
	"context"
	"errors"

	"github.com/warrenmq/warren/pkg/messaging"
)

var (
	ctx    context.Context
	broker messaging.Broker
)
-->
`

// What is as it should be.
func TestRight(t *testing.T) {
	for name, text := range map[string]string{
		"statements, with a variable that is not used": prelude + `
'''go
err := broker.Publish(ctx, messaging.Queue("hello"), &messaging.Message{})
'''
`,
		"statements that return":              prelude + "\n'''go\nif err := broker.Close(ctx); err != nil {\n\treturn err\n}\n'''\n",
		"statements that return nothing":      prelude + "\n'''go\nif broker == nil {\n\treturn\n}\n'''\n",
		"declarations":                        prelude + "\n'''go\nfunc f() error { return broker.Close(ctx) }\n'''\n",
		"statements in a list":                prelude + "\n1. First:\n\n   '''go\n   x := errors.New(`a`)\n   '''\n",
		"a block that continues":              prelude + "'''go\na := 1\n'''\n\n<!-- docs-check: continues -->\n'''go\nb := a\n'''\n",
		"imports that the block has as well":  prelude + "'''go\nimport \"errors\"\n\nfunc f() error { return errors.New(`a`) }\n'''\n",
		"a program, and what it prints":       "'''go\npackage main\n\nimport \"fmt\"\n\nfunc main() {\n\tfmt.Println(\"in\", 12.5)\n}\n'''\n\n'''text\nin 7.25\n'''\n",
		"a function, run by what is not seen": "<!-- docs-check: run\nimport \"fmt\"\nfunc main() { fmt.Println(double(21)); println(\"to the log\") }\n-->\n'''go\nfunc double(n int) int { return 2 * n }\n'''\n\n'''text\n42\n'''\n",
		"a test":                              "<!-- docs-check: run -->\n'''go\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Log(\"a\") }\n'''\n",
		"a program that CTRL+C ends": `<!-- docs-check: run until ready -->
'''go
package main

import (
	"fmt"
	"os"
	"os/signal"
)

func main() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	fmt.Println("ready")
	<-c
}
'''
`,
		"commands":                       "'''console\n$ export A=b\n$ cd docs    # from here\n$ echo $A \\\n  c\nb c\n$ ls adr |\\\n> head -1\n0001-...\n'''\n\n'''console\n$ echo $A; basename $PWD\nb\ndocs\n$ unset A\n$ echo ${A-none}\nnone\n'''\n",
		"lines left out":                 "'''console\n$ seq 5\n1\n...\n4\n5\n'''\n",
		"lines in any order":             "<!-- docs-check: unordered -->\n'''console\n$ seq 3\n3\n1\n2\n'''\n",
		"a status":                       "<!-- docs-check: status `exit` 3 -->\n'''console\n$ exit 3\n'''\n",
		"a command that CTRL+C ends":     "'''console\n$ trap 'echo end; exit 0' INT; echo begin; while true; do sleep 0.1; done\nbegin\n^Cend\n$ echo 2\n2\n'''\n",
		"a command for the block's time": "<!-- docs-check: background `trap`: begin -->\n'''console\n$ trap 'echo end; exit 0' INT; echo begin; while true; do sleep 0.1; done\n'''\n",
		"a script":                       "'''sh\nset -e\ntrue\n'''\n",
		"data":                           "'''yaml\na: [b]\n---\nc: d\n'''\n\n'''json\n{\"a\": 1}\n'''\n\n'''ini\n# a\nlisteners.tcp.default = 5672\n'''\n",
		"part of a file":                 "<!-- docs-check: file internal/tools/docscheck/match.go -->\n'''go\nconst leftOut = \"...\"\n'''\n",
		"skipped with a reason":          "<!-- docs-check: skip it needs Docker, which is not here -->\n'''dockerfile\nFROM scratch\n'''\n",
		"links": "# A `title`, twice\n\n# A title, twice\n\n[a](#a-title-twice) [b](#a-title-twice-1) [c](../README.md#why) [d](adr) ![e](../LICENSE)\n" +
			"[f](https://example.org/) `[g](nowhere)` <a href=\"../go.mod#L1\">h</a> <a id=\"i\"></a> [i](#i)\n\n'''\n[j](nowhere)\n'''\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if said := try(t, brokerless(t), text); said != "" {
				t.Error(said)
			}
		})
	}
}

// What is wrong, and what is said of it: the line of the page, and why.
func TestWrong(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a name that is not there":             {prelude + "\n'''go\nbroker.Send(ctx)\n'''\n", "docs/page.md:16: broker.Send undefined"},
		"a type that does not fit":             {prelude + "\n'''go\n\nvar n int = broker\n'''\n", "docs/page.md:17"},
		"no Go at all":                         {prelude + "\n'''go\nerr = ...\n'''\n", "docs/page.md:16"},
		"a package that is not there":          {"'''go\nimport \"example.org/none\"\n\nvar a = none.B\n'''\n", "could not import example.org/none"},
		"a package that is not imported":       {"'''go\nerr := errors.New(`a`)\n'''\n", "docs/page.md:2: undefined: errors"},
		"nothing to continue":                  {"<!-- docs-check: continues -->\n'''go\na := 1\n'''\n", "docs/page.md:3: no block comes before"},
		"a program that does not compile":      {"'''go\npackage main\n\nfunc main() {\n\ta := 1\n}\n'''\n", "docs/page.md:5: declared and not used: a"},
		"a program that fails":                 {"'''go\npackage main\n\nfunc main() {\n\tpanic(\"oh\")\n}\n'''\n", "docs/page.md:2: exit status 2"},
		"a program that prints something else": {"'''go\npackage main\n\nimport \"fmt\"\n\nfunc main() {\n\tfmt.Println(1)\n}\n'''\n\n'''text\n2\n'''\n", "not what line 12 shows"},
		"a test that fails":                    {"<!-- docs-check: run -->\n'''go\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Error(\"oh\") }\n'''\n", "exit status 1"},
		"a command that fails":                 {"'''console\n$ true\n$ false\n'''\n", "docs/page.md:3: $ false: exit status 1"},
		"a command that does not fail":         {"<!-- docs-check: status `true` 1 -->\n'''console\n$ true\n'''\n", "exit status 0, want 1"},
		"a command that is not there":          {"'''console\n$ no-such-command\n'''\n", "command not found"},
		"output that is not shown":             {"'''console\n$ seq 3\n1\n2\n'''\n", "docs/page.md:2: $ seq 3: the output is"},
		"output that does not come":            {"'''console\n$ seq 2\n1\n...\n3\n'''\n", "not what is shown"},
		"a background that says nothing":       {"<!-- docs-check: background `true` -->\n'''console\n$ true\n'''\n", "nothing to wait for"},
		"a background that ends":               {"'''console\n$ echo a\na\nb\n^C\n'''\n", "before that"},
		"a background that fails":              {"'''console\n$ trap 'exit 4' INT; echo a; while true; do sleep 0.1; done\na\n^C\n'''\n", "exit status 4, want 0"},
		"output before any command":            {"'''console\nmake\n'''\n", "no command comes before"},
		"a script that fails":                  {"'''sh\nset -e\nfalse\ntrue\n'''\n", "exit status 1"},
		"YAML":                                 {"'''yaml\na: [b\n'''\n", "docs/page.md:2: yaml"},
		"JSON":                                 {"'''json\n{\"a\": }\n'''\n", "docs/page.md:2: invalid"},
		"INI":                                  {"'''ini\nlisteners\n'''\n", "is no section"},
		"a language that nobody checks":        {"'''dockerfile\nFROM scratch\n'''\n", "say skip, and why"},
		"skipped without a reason":             {"<!-- docs-check: skip -->\n'''go\na\n'''\n", "without a reason"},
		"a command skipped without a reason":   {"<!-- docs-check: skip `make` -->\n'''console\n$ make\n'''\n", "without a reason"},
		"a note about a command not there":     {"<!-- docs-check: skip `make`: it takes an hour -->\n'''console\n$ true\n'''\n", "is about nothing"},
		"a note that nothing knows":            {"<!-- docs-check: slip -->\n'''console\n$ true\n'''\n", `knows no "slip"`},
		"a note before no block":               {"<!-- docs-check: fresh -->\n", "no block follows"},
		"lines that are not in the file":       {"<!-- docs-check: file internal/tools/docscheck/match.go -->\n'''go\nconst leftOut = \"..\"\n'''\n", "not in internal/tools/docscheck/match.go"},
		"a block that is not closed":           {"'''go\n", "docs/page.md:1: this block is never closed"},
		"a link to no file":                    {"\n[a](b.md)\n", "docs/page.md:2: link to b.md: there is no file docs/b.md"},
		"a picture that is not there":          {"![a](b.svg)\n", "there is no file docs/b.svg"},
		"a link to no heading":                 {"[a](../README.md#nothing)\n", `README.md has no heading or anchor "nothing"`},
		"a link to no line":                    {"[a](../go.mod#L9999)\n", "has no line 9999"},
		"a link out of the repository":         {"[a](../../b)\n", "leaves the repository"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if said := try(t, brokerless(t), test.text); !strings.Contains(said, test.want) {
				t.Errorf("it says\n%s\nwant %q", said, test.want)
			}
		})
	}
}

// A page with our programs and Python's, each of which gets what the other
// sent; the page after it has an empty broker.
func TestOnRabbitMQ(t *testing.T) {
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{Password: "guest"}) // as in pages
	w, err := newWorkshop(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	if err := w.use(node); err != nil {
		t.Fatal(err)
	}
	const page = `
'''console
$ export MESSAGING_URL=amqp://root:1234@localhost:5672/
$ go run ./apps/consumer
 [*] Waiting for messages. To exit press CTRL+C
 [x] Received 'Hello World!'
^C...
 [*] Received 1, acknowledged 1, failed 0, returned to the queue 0
$ go run ./apps/producer
 [x] Sent 'Hello World!'
'''

<!-- docs-check: python
import pika
channel = pika.BlockingConnection(pika.ConnectionParameters(host='localhost', port=5672)).channel()
-->
'''python
channel.queue_declare(queue='hello', passive=True)
print("it is there")
'''

'''text
it is there
'''
`
	if said := try(t, w, page); said != "" {
		t.Error(said)
	}
	if said := try(t, w, strings.ReplaceAll(page, "go run ./apps/", "true ")); !strings.Contains(said, "no queue 'hello'") {
		t.Errorf("on an empty broker it says\n%s", said)
	}
}
