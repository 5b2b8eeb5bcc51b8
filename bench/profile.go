package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// profiles writes a CPU profile of each contender's last round into a folder.
type profiles struct{ folder string }

// around is for [measure.Run]. What fills a queue before the round has the
// label "phase: prepare".
func (p profiles) around(row measure.Row, c measure.Contender, last bool) (stop func() error, err error) {
	if p.folder == "" || !last {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return nil, err
	}
	name := strings.NewReplacer(" ", "-", ",", "").Replace(row.Name + "-" + c.Name)
	f, err := os.Create(filepath.Join(p.folder, name+".prof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
