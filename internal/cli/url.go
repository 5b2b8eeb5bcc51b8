package cli

import (
	"io"
	"os"
	"strings"

	urfave "github.com/urfave/cli/v3"
)

// envURLFile names a file with the URL, which is how orchestrators hand over
// secrets.
const envURLFile = "MESSAGING_URL_FILE"

// maxURLFile is more than any URL has, in bytes.
const maxURLFile = 64 << 10

// URL is the broker's URL: from --url, else MESSAGING_URL, else the file that
// MESSAGING_URL_FILE names, else the program's default. White space around it
// in the file does not count. No error shows what is in the file.
func URL(cmd *urfave.Command) (string, error) {
	file, direct := os.Getenv(envURLFile), os.Getenv("MESSAGING_URL")
	given := cmd.IsSet("url") && cmd.String("url") != "" // by the flag or MESSAGING_URL
	if file == "" || given && direct == "" {
		return cmd.String("url"), nil
	}
	if direct != "" {
		return "", Usagef("MESSAGING_URL and %s contradict each other; set one of them", envURLFile)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", Usagef("%s: %w", envURLFile, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxURLFile+1))
	if err != nil {
		return "", Usagef("%s: %w", envURLFile, err)
	}
	url := strings.TrimSpace(string(text))
	switch {
	case url == "":
		return "", Usagef("%s: %s is empty; it must have the broker's URL", envURLFile, file)
	case len(text) > maxURLFile:
		return "", Usagef("%s: %s has more than %d bytes, which is no URL", envURLFile, file, maxURLFile)
	}
	return url, nil
}
