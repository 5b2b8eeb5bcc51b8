package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	urfave "github.com/urfave/cli/v3"
)

// TestURLFile: the URL comes from a file where nothing else says it, and no
// error shows what is in the file.
func TestURLFile(t *testing.T) {
	const inFile = "amqp://app:s3cret@rabbit/orders"
	for name, test := range map[string]struct {
		text    string // of the file
		missing bool
		env     string // MESSAGING_URL
		flag    bool   // the file is given by --url-file, and not by MESSAGING_URL_FILE
		args    []string
		want    string
		says    string
	}{
		"file":              {text: inFile, want: inFile},
		"end of line":       {text: "\n " + inFile + " \r\n", want: inFile},
		"flag first":        {text: inFile, args: []string{"--url", "memory://"}, want: "memory://"},
		"two of them":       {text: inFile, env: "memory://", says: "MESSAGING_URL and MESSAGING_URL_FILE contradict each other"},
		"by flag":           {text: inFile, flag: true, want: inFile},
		"by flag, and env":  {text: inFile, flag: true, env: "memory://", want: inFile},
		"two flags":         {text: inFile, flag: true, args: []string{"--url", "memory://"}, says: "--url and --url-file contradict each other"},
		"no such file":      {missing: true, says: "MESSAGING_URL_FILE: open "},
		"no file by flag":   {missing: true, flag: true, says: "--url-file: open "},
		"a directory":       {args: []string{"--url-file", "."}, says: "--url-file: read .: is a directory"},
		"none by flag":      {args: []string{"--url-file="}, says: "--url-file: must not be empty"},
		"empty":             {text: " \n", says: "is empty"},
		"something else":    {text: strings.Repeat("s3cret", 20_000), says: "which is no URL"},
		"wrong, and secret": {text: "://s3cret@", want: "://s3cret@"}, // opening it will say so
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "url")
			if !test.missing {
				if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.flag {
				test.args = append(test.args, "--url-file", file)
			} else {
				t.Setenv(envURLFile, file)
			}
			t.Setenv("MESSAGING_URL", test.env)
			got, status := "", 0
			cmd, _, stderr := program(func(_ context.Context, cmd *urfave.Command) (err error) {
				got, err = URL(cmd)
				return err
			})
			status = run(t.Context(), cmd, append([]string{"program"}, test.args...))
			if got != test.want {
				t.Errorf("the URL is %q, want %q", got, test.want)
			}
			if wrong := test.says != ""; wrong != (status == StatusUsage) || !strings.Contains(stderr.String(), test.says) {
				t.Errorf("status %d: %s; want %q", status, stderr, test.says)
			}
			if strings.Contains(stderr.String(), "s3cret") {
				t.Errorf("the error shows what is in the file: %s", stderr)
			}
		})
	}
}
