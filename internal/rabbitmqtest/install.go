package rabbitmqtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// ErrNotInstalled is in the error of [Start] where no RabbitMQ is found.
var ErrNotInstalled = errors.New("no rabbitmq-server is installed on this machine")

const cookieFile = ".erlang.cookie"

// serverDirs are looked at after PATH, which often lacks the sbin directories
// for anybody but root. Debian's /usr/sbin/rabbitmq-server switches user, so
// the script behind it comes first.
var serverDirs = []string{
	"/usr/lib/rabbitmq/bin",
	"/usr/sbin",
	"/usr/local/sbin",
	"/opt/homebrew/sbin",
}

// installation is what this machine has of RabbitMQ.
type installation struct {
	script  string            // the rabbitmq-server script, links resolved
	erl     string            // the Erlang runtime; "" where only the script can be used
	erlCall string            // for commands into a node; "" where it is missing
	apps    map[string]string // what the broker needs: application to directory; nil where unknown
}

// findInstallation returns an error that wraps ErrNotInstalled where there is none.
func findInstallation() (*installation, error) {
	script, err := findServer()
	if err != nil {
		return nil, err
	}
	in := &installation{script: script}
	if in.erl, err = exec.LookPath("erl"); err != nil {
		return in, nil
	}
	in.erlCall = findErlCall(in.erl)
	in.apps = findApps(filepath.Join(filepath.Dir(script), "..", "plugins"))
	return in, nil
}

func findServer() (string, error) {
	for _, dir := range append(serverDirs, filepath.SplitList(os.Getenv("PATH"))...) {
		script, err := exec.LookPath(filepath.Join(dir, "rabbitmq-server"))
		if err != nil {
			continue
		}
		if script, err = filepath.EvalSymlinks(script); err == nil {
			return script, nil
		}
	}
	return "", ErrNotInstalled
}

// findErlCall looks beside erl where PATH has none: most packages ship it
// inside Erlang's own tree.
func findErlCall(erl string) string {
	if found, err := exec.LookPath("erl_call"); err == nil {
		return found
	}
	if real, err := filepath.EvalSymlinks(erl); err == nil {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(real), "..", "lib", "erl_interface-*", "bin", "erl_call"))
		if len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

var (
	appsPattern = regexp.MustCompile(`(?s)\{\s*applications\s*,\s*\[([^\]]*)\]`)
	namePattern = regexp.MustCompile(`[a-z][a-z0-9_]*`)
)

// findApps returns the directories under plugins that hold the application
// rabbit and everything it depends on there, or nil where the layout is not
// one of unpacked applications. Erlang's own applications are not among them.
func findApps(plugins string) map[string]string {
	apps := map[string]string{}
	todo := []string{"rabbit"}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if _, seen := apps[name]; seen {
			continue
		}
		spec, err := filepath.Glob(filepath.Join(plugins, name+"-[0-9]*", "ebin", name+".app"))
		if err != nil || len(spec) == 0 {
			continue // one of Erlang's own
		}
		text, err := os.ReadFile(spec[0])
		if err != nil {
			return nil
		}
		apps[name] = filepath.Dir(filepath.Dir(spec[0]))
		if needs := appsPattern.FindSubmatch(text); needs != nil {
			todo = append(todo, namePattern.FindAllString(string(needs[1]), -1)...)
		}
	}
	if apps["rabbit"] == "" || apps["rabbit_common"] == "" || apps["rabbitmq_prelaunch"] == "" {
		return nil
	}
	return apps
}

// layOut creates what the node reads: directories, cookie, configuration.
func (n *Node) layOut() error {
	for _, dir := range []string{"mnesia", "log", "home", "libs"} {
		if err := os.MkdirAll(n.path(dir), 0o700); err != nil {
			return err
		}
	}
	if err := n.layOutCookie(); err != nil {
		return err
	}
	files := map[string]string{
		"enabled_plugins": "[].\n",
		"advanced.config": "[].\n",
		"rabbitmq.conf":   "log.file.level = warning\nlog.console = false\ndefault_pass = " + n.opts.Password + "\n" + n.opts.Config + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(n.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return n.linkApps()
}

// layOutCookie keeps the cookie of a directory that is used again.
func (n *Node) layOutCookie() error {
	path := n.path("home", cookieFile)
	old, err := os.ReadFile(path)
	if err == nil {
		n.cookie = string(old)
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	n.cookie = rand.Text()
	if n.opts.cluster != nil {
		n.cookie = n.opts.cluster.cookie
	}
	return os.WriteFile(path, []byte(n.cookie), 0o400)
}

// linkApps makes the directory of links that replaces RabbitMQ's plugins
// directory: with only what the broker needs, it boots in half the time.
func (n *Node) linkApps() error {
	if err := os.RemoveAll(n.path("libs")); err != nil {
		return err
	}
	if err := os.Mkdir(n.path("libs"), 0o700); err != nil {
		return err
	}
	for _, dir := range n.install.apps {
		if err := os.Symlink(dir, n.path("libs", filepath.Base(dir))); err != nil {
			return err
		}
	}
	return nil
}

// command returns the command that runs the node in the foreground.
func (n *Node) command() *exec.Cmd {
	cmd := exec.Command(n.install.script)
	if n.install.erl != "" && n.install.apps != nil && !n.opts.stock {
		cmd = exec.Command(n.install.erl, n.erlArgs()...)
	}
	cmd.Env = n.environ()
	cmd.Dir = n.opts.Dir
	return cmd
}

// erlArgs is what the rabbitmq-server script would pass, less its search for
// epmd: the node listens for commands on a port that we know.
func (n *Node) erlArgs() []string {
	args := strings.Fields(`-noinput -s rabbit boot -boot start_sasl +W w
		+MBas ageffcbf +MHas ageffcbf +MBlmbcs 512 +MHlmbcs 512 +MMmcs 30
		+P 1048576 +t 5000000 +stbt db +zdbbl 128000 +sbwt none +sbwtdcpu none +sbwtdio none +B i
		-syslog logger [] -syslog syslog_error_logger false
		-kernel prevent_overlapping_partitions false`)
	return append(args, n.distArgs()...)
}

// distArgs keeps Erlang's distribution on loopback and away from epmd, a
// daemon that would stay behind: RabbitMQ starts one unless the node has its
// name from the command line. The members of a cluster find each other by an
// epmd of the cluster's own.
func (n *Node) distArgs() []string {
	port := strconv.Itoa(n.opts.DistPort)
	args := []string{
		"-sname", n.nodeName(),
		"-kernel", "inet_dist_use_interface", "{127,0,0,1}",
		"-start_epmd", "false",
	}
	if n.opts.cluster != nil {
		return append(args, "-kernel", "inet_dist_listen_min", port, "-kernel", "inet_dist_listen_max", port)
	}
	return append(args, "-erl_epmd_port", port)
}

// environ is the whole environment of the node: nothing of ours, and nothing
// of the machine's own RabbitMQ in /etc, may change what a test sees.
func (n *Node) environ() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin",
		"LANG=C.UTF-8",
		"HOME=" + n.path("home"),
		"ERL_LIBS=" + n.path("libs"),
		"ERL_MAX_ETS_TABLES=50000",
		"ERL_CRASH_DUMP_BYTES=0",
		"RABBITMQ_NODENAME=" + n.nodeName(),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=" + strconv.Itoa(n.opts.Port),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(n.opts.DistPort),
		"RABBITMQ_MNESIA_BASE=" + n.path("mnesia"),
		"RABBITMQ_LOG_BASE=" + n.path("log"),
		"RABBITMQ_PID_FILE=" + n.path("pid"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + n.path("enabled_plugins"),
		"RABBITMQ_CONFIG_FILE=" + n.path("rabbitmq.conf"),
		"RABBITMQ_CONFIG_FILES=" + n.path("conf.d"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + n.path("advanced.config"),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		// Read by the stock script only.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + strings.Join(n.distArgs(), " "),
		"detached=yes", // it becomes the node, where it would otherwise be its parent
	}
	if n.opts.cluster != nil {
		env = append(env, "ERL_EPMD_PORT="+strconv.Itoa(n.opts.cluster.epmdPort))
	}
	return env
}

func (n *Node) nodeName() string { return n.opts.Name + "@localhost" }

func (n *Node) path(elem ...string) string {
	return filepath.Join(append([]string{n.opts.Dir}, elem...)...)
}

// LogTail returns the end of what the node wrote: its output and its log.
func (n *Node) LogTail() string {
	var b strings.Builder
	for _, file := range []string{n.path("output"), n.path("log", n.nodeName()+".log")} {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 {
			continue
		}
		const most = 4096
		if len(text) > most {
			text = append([]byte("..."), text[len(text)-most:]...)
		}
		fmt.Fprintf(&b, "--- %s\n%s\n", filepath.Base(file), text)
	}
	return b.String()
}
