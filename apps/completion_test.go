package apps

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/cli"
)

// press is what a user of bash gets who types a command line and presses TAB:
// the program's own script, with what it takes from bash-completion replaced.
const press = `
_comp_initialize() { :; }
source <("$1" --completion bash)
PATH="$(dirname "$1"):$PATH"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"__$1_bash_autocomplete"
printf '%s\n' "${COMPREPLY[@]}"
`

func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ line, want string }{
		{"consumer --wo", "--workers --work"},
		{"consumer --queue q --inact", "--inactivity-timeout"},
		{"consumer --nothing-like-it", ""},
		{"producer --co", "--count --content-type --completion"},
		{"producer -- --co", ""}, // a text
		{"hello --v", "--verbose --version"},
	} {
		words := strings.Fields(test.line)
		out, err := exec.Command("bash", append([]string{"-c", press, "bash", filepath.Join(dir, words[0])}, words...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", test.line, err, out)
		}
		if got := strings.Join(strings.Fields(string(out)), " "); got != test.want {
			t.Errorf("%s TAB: got %q, want %q", test.line, got, test.want)
		}
	}
}

// For each shell there is a script, and it names the program.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	const nobody = "amqp://127.0.0.1:1/"
	for _, name := range []string{"producer", "consumer", "hello"} {
		for shell, text := range map[string]string{
			"bash": "complete -o bashdefault -o default -F __" + name + "_bash_autocomplete " + name,
			"zsh":  "#compdef " + name,
			"fish": "complete -c " + name,
			"pwsh": "Register-ArgumentCompleter",
		} {
			p := app(t, nobody, name, "--completion", shell)
			p.ends(t, cli.StatusOK)
			if !strings.Contains(p.stdout.String(), text) {
				t.Errorf("%s --completion %s does not say %q", name, shell, text)
			}
		}
		p := app(t, nobody, name, "--completion", "tcsh")
		p.ends(t, cli.StatusUsage)
		p.stderr.Await(t, "must be one of bash, zsh, fish, pwsh", 1)
	}
}

// The words that others have as commands are texts to send.
func TestCompletionIsATextToo(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	p := app(t, url, "producer", "--queue", queue, "completion", "help")
	p.ends(t, cli.StatusOK)
	p.stdout.Await(t, " [x] Sent 'completion'\n [x] Sent 'help'\n", 1)
}
