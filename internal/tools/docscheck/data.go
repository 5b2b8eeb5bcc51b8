package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// data are the languages of blocks that are parsed only.
var data = map[string]func(text string) error{
	"yaml": parseYAML, "yml": parseYAML, "json": parseJSON, "ini": parseINI,
}

func parseYAML(text string) error {
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var value any
		if err := d.Decode(&value); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func parseJSON(text string) error {
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		var value any
		if err := d.Decode(&value); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

var iniLine = regexp.MustCompile(`^(|[#;].*|\[[^\]]+\]|[A-Za-z0-9_.:/*-]+\s*=.*)$`)

// parseINI reads sections, "key = value" and comments, which is rabbitmq.conf
// too.
func parseINI(text string) error {
	for i, line := range strings.Split(text, "\n") {
		if !iniLine.MatchString(strings.TrimSpace(line)) {
			return fmt.Errorf("line %d: %q is no section, \"key = value\" or comment", i+1, line)
		}
	}
	return nil
}
