package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// here is this machine.
type here struct{}

func (here) command(pkg, test string) (*exec.Cmd, error) {
	return exec.Command("go", "test", "-json", "-count=1", "-run", "^"+test+"$", pkg), nil
}

func (here) version() string { return packageVersion("dpkg-query") }

// packageVersion asks dpkg for the version of RabbitMQ, "3.10.8" of
// "3.10.8-1.1+deb12u1".
func packageVersion(dpkgQuery ...string) string {
	query := slices.Concat(dpkgQuery, []string{"-W", "-f=${Version}", "rabbitmq-server"})
	out, err := exec.Command(query[0], query[1:]...).Output()
	if err != nil {
		return "(as installed)"
	}
	version, _, _ := strings.Cut(string(out), "-")
	return version
}

// chroot is another release of Debian in a folder of its own, for the RabbitMQ
// that comes with it. Nothing is mounted into it.
type chroot struct {
	release string
	dir     string
}

// prepare makes the folder, or says why it cannot be had.
func (c *chroot) prepare() error {
	if os.Getuid() != 0 {
		return errors.New("it is set up in a chroot, which only root can")
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return errors.New("debootstrap is not installed")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	c.dir = filepath.Join(cache, "warren-"+c.release)
	if _, err := os.Stat(filepath.Join(c.dir, "usr", "sbin", "rabbitmq-server")); err == nil {
		return nil
	}
	return c.install()
}

func (c *chroot) install() error {
	mirror, err := aptMirror()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return err
	}
	if err := loud("debootstrap", "--variant=minbase", c.release, c.dir, mirror); err != nil {
		return err
	}
	policy := filepath.Join(c.dir, "usr", "sbin", "policy-rc.d") // nothing is started by being installed
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return err
	}
	return loud("chroot", c.dir, "env", "DEBIAN_FRONTEND=noninteractive",
		"apt-get", "-qq", "install", "--yes", "--no-install-recommends", "rabbitmq-server")
}

// loud runs a command, and shows what it said where it failed.
func loud(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, out)
	}
	return nil
}

// command builds the package's tests as one static program, and runs it inside.
func (c *chroot) command(pkg, test string) (*exec.Cmd, error) {
	const program = "/conformance.test"
	build := exec.Command("go", "test", "-c", "-o", c.dir+program, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return exec.Command("go", "tool", "test2json", "-t", "chroot", c.dir, program,
		"-test.v=test2json", "-test.run", "^"+test+"$"), nil
}

func (c *chroot) version() string { return packageVersion("chroot", c.dir, "dpkg-query") }

// aptMirror is where this machine's apt gets its packages from.
func aptMirror() (string, error) {
	lists, err := filepath.Glob("/etc/apt/sources.list.d/*")
	if err != nil {
		return "", err
	}
	for _, list := range append([]string{"/etc/apt/sources.list"}, lists...) {
		if mirror := mirrorIn(list); mirror != "" {
			return mirror, nil
		}
	}
	return "", errors.New("apt is configured with no mirror of Debian")
}

// mirrorIn reads a list of either format: the first address that ends in
// /debian.
func mirrorIn(list string) string {
	f, err := os.Open(list)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if !strings.HasPrefix(line, "deb ") && !strings.HasPrefix(line, "URIs:") {
			continue
		}
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "http") && strings.HasSuffix(strings.TrimSuffix(word, "/"), "/debian") {
				return word
			}
		}
	}
	return ""
}
