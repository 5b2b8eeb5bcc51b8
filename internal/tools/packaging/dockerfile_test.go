package packaging

import (
	"context"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

var programs = []string{"producer", "consumer", "hello"}

// noRegistry answers for the base image, of which only its configuration is
// asked.
type noRegistry struct{}

func (noRegistry) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	image := ocispecs.Image{
		Platform: ocispecs.Platform{OS: "linux", Architecture: "amd64"},
		Config:   ocispecs.ImageConfig{Env: []string{"PATH=/usr/local/go/bin:/usr/bin:/bin"}},
	}
	text, err := json.Marshal(image)
	return ref, digest.FromBytes(text), text, err
}

func convertOpt(text, target string) dockerfile2llb.ConvertOpt {
	linux := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(text))
	source.Definition = &llb.Definition{}
	return dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			Target: target, BuildPlatforms: []ocispecs.Platform{linux}, TargetPlatforms: []ocispecs.Platform{linux},
		},
		TargetPlatform: &linux,
		MetaResolver:   noRegistry{},
		SourceMap:      source,
	}
}

// TestDockerfileChecks is docker build --check.
func TestDockerfileChecks(t *testing.T) {
	text := read(t, filepath.Join(root(t), "Dockerfile"))
	for what, text := range map[string]string{
		"nothing": text,
		"warning": strings.ReplaceAll(text, " AS ", " as "), // so that it is known to look
		"error":   strings.ReplaceAll(text, "ENTRYPOINT", "ENTRY"),
	} {
		result, err := dockerfile2llb.DockerfileLint(t.Context(), []byte(text), convertOpt(text, ""))
		if err != nil {
			t.Fatal(err)
		}
		found := "nothing"
		switch {
		case result.Error != nil:
			found = "error"
		case len(result.Warnings) > 0:
			found = "warning"
		}
		if found != what {
			t.Errorf("found %s, want %s: %+v, %+v", found, what, result.Error, result.Warnings)
		}
	}
}

// TestImages: what the images say of themselves.
func TestImages(t *testing.T) {
	text := read(t, filepath.Join(root(t), "Dockerfile"))
	for _, program := range programs {
		result, err := dockerfile2llb.Dockerfile2LLB(t.Context(), []byte(text), convertOpt(text, program))
		if err != nil {
			t.Fatalf("%s: %v", program, err)
		}
		if result.BaseImage != nil {
			t.Errorf("%s: is made from another image, which may have a shell", program)
		}
		conf := result.Image.Config
		if conf.User != "65532:65532" {
			t.Errorf("%s: the user is %q", program, conf.User)
		}
		if !slices.Equal(conf.Entrypoint, []string{"/" + program}) || len(conf.Cmd) > 0 {
			t.Errorf("%s: starts %q %q", program, conf.Entrypoint, conf.Cmd)
		}
	}
}

// TestImageContents builds what the Dockerfile builds, with its very command,
// and runs it as an image would: in a folder that has nothing else, as nobody.
func TestImageContents(t *testing.T) {
	dir := t.TempDir()
	build := strings.ReplaceAll(buildCommand(t), "/out/", dir+"/")
	output(t, root(t), []string{"TARGETOS=linux", "TARGETARCH=" + runtime.GOARCH}, "sh", "-c", build)
	for _, program := range programs {
		static(t, filepath.Join(dir, program))
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Log("not root on Linux: what is built was looked at, and not run in a folder of its own")
		return
	}
	for _, dir := range []string{dir, filepath.Dir(dir)} { // nobody may go there
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hello := exec.CommandContext(t.Context(), "/hello")
	hello.Dir = "/"
	hello.Env = []string{}
	hello.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	out, err := hello.CombinedOutput()
	if err != nil || !strings.Contains(string(out), " [x] Received 'Hello World!'") {
		t.Errorf("hello in a folder of its own: %v\n%s", err, out)
	}
}

// buildCommand is the Dockerfile's command that builds the programs.
func buildCommand(t *testing.T) string {
	t.Helper()
	text := read(t, filepath.Join(root(t), "Dockerfile"))
	file, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(file.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range stages[0].Commands {
		run, ok := command.(*instructions.RunCommand)
		if ok && strings.Contains(strings.Join(run.CmdLine, " "), "go build") {
			return strings.Join(run.CmdLine, " ")
		}
	}
	t.Fatal("the Dockerfile's first stage builds nothing")
	return ""
}

// static fails the test where a program needs files besides itself.
func static(t *testing.T, path string) {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not static: it has a part of type %s", path, part.Type)
		}
	}
}

// TestDockerfileHasOurGo: the image that builds is of the version of go.mod.
func TestDockerfileHasOurGo(t *testing.T) {
	_, version, _ := strings.Cut(read(t, filepath.Join(root(t), "go.mod")), "\ngo ")
	version, _, _ = strings.Cut(version, "\n")
	if want := " golang:" + version + " AS build\n"; !strings.Contains(read(t, filepath.Join(root(t), "Dockerfile")), want) {
		t.Errorf("the Dockerfile does not have %q, the version of go.mod", want)
	}
}

// TestDockerignore: what git knows is in the build's context, or the version
// of a release would be a modified one.
func TestDockerignore(t *testing.T) {
	ignored := strings.Fields(output(t, root(t), nil, "git", "ls-files", "--cached", "--ignored", "--exclude-from=.dockerignore"))
	if len(ignored) > 0 {
		t.Errorf(".dockerignore leaves out %q, which git has", ignored)
	}
}
