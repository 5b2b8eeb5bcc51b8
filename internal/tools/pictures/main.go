// Command pictures draws the pictures of queues in the guides: for each .txt
// in the folders that it is given, an .svg beside it.
//
//	go run ./internal/tools/pictures docs/patterns
//
// A description has a line for each thing, and one for each arrow:
//
//	title Two workers share a queue
//	service producer @ 0,0.5
//	queue tasks @ 1,0.5
//	service worker 1 @ 2,0
//	service worker 2 @ 2,1
//	producer -> tasks
//	tasks -> worker 1 : what is written on the arrow
//
// After the "@" are its column and row, from 0. A thing is a service, a queue
// or a topic.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func run(folders []string) error {
	if len(folders) == 0 {
		return errors.New("name the folders whose descriptions are to be drawn")
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("%s has no descriptions (.txt)", folder)
		}
		for _, file := range files {
			svg, err := draw(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(target(file), []byte(svg), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func target(file string) string { return strings.TrimSuffix(file, ".txt") + ".svg" }

// draw is the picture of a description.
func draw(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	p, err := parse(string(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return p.svg(), nil
}
