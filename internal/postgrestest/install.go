package postgrestest

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
)

// ErrNotInstalled is in the error of [Start] where no PostgreSQL is found.
var ErrNotInstalled = errors.New("no PostgreSQL server is installed on this machine")

// serverDirs are patterns of directories that are looked at before PATH:
// Debian keeps the programs of each version in one of its own.
var serverDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/usr/pgsql-*/bin",
}

// findPrograms returns the directory that has both initdb and postgres, of the
// last version where there are several.
func findPrograms() (string, error) {
	var dirs []string
	for _, pattern := range serverDirs {
		found, _ := filepath.Glob(pattern) // fails for a bad pattern only
		dirs = append(dirs, found...)
	}
	slices.Reverse(dirs)
	if initdb, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(initdb))
	}
	for _, dir := range dirs {
		if has(dir, "initdb") && has(dir, "postgres") {
			return dir, nil
		}
	}
	return "", ErrNotInstalled
}

func has(dir, program string) bool {
	_, err := exec.LookPath(filepath.Join(dir, program))
	return err == nil
}
