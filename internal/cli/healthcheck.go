package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v3"
)

const (
	healthcheckName = "healthcheck"
	// healthcheckTimeout is less than the time that container engines give a
	// check by default, so that it is the check that says what was too slow.
	healthcheckTimeout = 5 * time.Second
	// maxHealthcheckAnswer is how much of an answer is shown, in bytes.
	maxHealthcheckAnswer = 512
)

// HealthcheckFlag is --healthcheck, for programs with --http. It stands in for
// curl in images that have nothing but the program.
func HealthcheckFlag() urfave.Flag {
	return &urfave.StringFlag{
		Name: healthcheckName, Category: CategoryOutput,
		Usage: "do nothing but ask the running program at `URL`, such as http://127.0.0.1:8080/readyz: " +
			"the exit status is 0 when it answers 200 (for the health checks of containers)",
		Validator: func(text string) error {
			u, err := url.Parse(text)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return fmt.Errorf("must be a URL, for example http://127.0.0.1:8080/readyz")
			}
			return nil
		},
	}
}

// healthcheck is an error unless a GET of the URL is answered with 200.
func healthcheck(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return Usagef("--healthcheck: %w", err)
	}
	// Its own transport, so that no proxy of the environment is asked, and no
	// connection is left.
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxHealthcheckAnswer))
	if err != nil {
		return fmt.Errorf("healthcheck: GET %s: %w", to, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("healthcheck: GET %s: %s: %s", to, answer.Status, strings.TrimSpace(string(text)))
	}
	return nil
}
