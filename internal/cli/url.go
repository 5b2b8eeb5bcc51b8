package cli

import (
	"io"
	"os"
	"strings"

	urfave "github.com/urfave/cli/v3"
)

// The environment's words for --url and --url-file. A file is how orchestrators
// hand over secrets.
const (
	envURL     = "MESSAGING_URL"
	envURLFile = "MESSAGING_URL_FILE"
)

// maxURLFile is more than any URL has, in bytes.
const maxURLFile = 64 << 10

// shown is a variable that the help shows as a flag's and [URL] reads, which so
// can tell it from the flag.
type shown string

// Lookup implements [urfave.ValueSource].
func (shown) Lookup() (string, bool) { return "", false }

// String implements [urfave.ValueSource].
func (v shown) String() string { return "environment variable " + string(v) }

// GoString implements [urfave.ValueSource].
func (v shown) GoString() string { return v.String() }

// IsFromEnv implements [urfave.EnvValueSource].
func (shown) IsFromEnv() bool { return true }

// Key implements [urfave.EnvValueSource].
func (v shown) Key() string { return string(v) }

// URL is the broker's URL: from --url or the file that --url-file names, else
// from the environment in the same two ways, else the program's default. White
// space around it in the file does not count. No error shows what is in the file.
func URL(cmd *urfave.Command) (string, error) {
	inEnv, fileInEnv := os.Getenv(envURL), os.Getenv(envURLFile)
	switch {
	case cmd.IsSet("url") && cmd.IsSet("url-file"):
		return "", Usagef("--url and --url-file contradict each other; give one of them")
	case cmd.IsSet("url"):
		return cmd.String("url"), nil
	case cmd.IsSet("url-file"):
		return readURL("--url-file", cmd.String("url-file"))
	case inEnv != "" && fileInEnv != "":
		return "", Usagef("%s and %s contradict each other; set one of them", envURL, envURLFile)
	case inEnv != "":
		return inEnv, nil
	case fileInEnv != "":
		return readURL(envURLFile, fileInEnv)
	}
	return cmd.String("url"), nil
}

// readURL reads the URL from a file, which by says who named.
func readURL(by, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", Usagef("%s: %w", by, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxURLFile+1))
	if err != nil {
		return "", Usagef("%s: %w", by, err)
	}
	url := strings.TrimSpace(string(text))
	switch {
	case url == "":
		return "", Usagef("%s: %s is empty; it must have the broker's URL", by, file)
	case len(text) > maxURLFile:
		return "", Usagef("%s: %s has more than %d bytes, which is no URL", by, file, maxURLFile)
	}
	return url, nil
}
