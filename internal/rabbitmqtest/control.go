package rabbitmqtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// evalTimeout is for a node that is frozen: it takes the command and never answers.
const evalTimeout = 10 * time.Second

// evals numbers the commands: two under one name would shut each other out.
var evals atomic.Uint64

// Eval evaluates Erlang expressions inside the node and returns the value of
// the last as Erlang prints it, so a text comes back in quotes. It takes a few
// milliseconds. It fails where the expressions do, where the node is down,
// where it has not answered within ten seconds, and where the machine lacks
// erl_call (part of Erlang), with [exec.ErrNotFound].
func (n *Node) Eval(expr string) (string, error) {
	if n.install.erlCall == "" {
		return "", fmt.Errorf("evaluate in the RabbitMQ node: erl_call: %w", exec.ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(context.Background(), evalTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.install.erlCall, "-e", "-c", n.cookie,
		"-address", "127.0.0.1:"+strconv.Itoa(n.opts.DistPort),
		"-h", fmt.Sprintf("test-%d-%d", os.Getpid(), evals.Add(1)))
	cmd.Env = append(os.Environ(), "HOME="+n.path("home"))
	cmd.Stdin = strings.NewReader(strings.TrimRight(expr, ". \n") + ".\n")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer within %v", evalTimeout)
	}
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("evaluate in the RabbitMQ node: %w: %s", err, text)
	}
	value, ok := strings.CutPrefix(text, "{ok, ")
	if !ok {
		return "", fmt.Errorf("evaluate %q in the RabbitMQ node: %s", expr, text)
	}
	return strings.TrimSuffix(value, "}"), nil
}

// PID returns the process number of the running node, also of one that was
// started by another process, and 0 where nothing listens on its port for
// commands. It fails where something does and does not answer under this node's
// cookie, as a node that is frozen, and where the machine lacks erl_call.
func (n *Node) PID() (int, error) {
	out, err := n.Eval("list_to_integer(os:getpid())")
	if err == nil {
		return strconv.Atoi(out)
	}
	conn, dialErr := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n.opts.DistPort)))
	if errors.Is(dialErr, syscall.ECONNREFUSED) && !errors.Is(err, exec.ErrNotFound) {
		return 0, nil
	}
	if dialErr == nil {
		conn.Close()
	}
	return 0, err
}

// SetMemoryAlarm makes the node believe that it is short of memory, or no
// longer so, and returns once it does. While it does, it reads nothing from
// connections that publish. It fails where [Node.Eval] does.
func (n *Node) SetMemoryAlarm(on bool) error { return n.setAlarm("memory", on) }

// SetDiskAlarm is SetMemoryAlarm for disk space.
func (n *Node) SetDiskAlarm(on bool) error { return n.setAlarm("disk", on) }

// setAlarm raises or clears the alarm of a resource.
//
// The alarm itself is raised, and not the watermark lowered: where the node
// cannot see the machine's memory (in a chroot without /proc), its next look
// would end the alarm.
func (n *Node) setAlarm(resource string, on bool) error {
	change := "rabbit_alarm:clear_alarm({resource_limit, " + resource + ", node()})"
	if on {
		change = "rabbit_alarm:set_alarm({{resource_limit, " + resource + ", node()}, []})"
	}
	if _, err := n.Eval(change); err != nil {
		return err
	}
	alarmed := "lists:any(fun({{resource_limit, " + resource + ", _}, _}) -> true; (_) -> false end, rabbit_alarm:get_alarms())"
	deadline := time.Now().Add(evalTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		now, err := n.Eval(alarmed)
		if err != nil {
			return err
		}
		if now == strconv.FormatBool(on) {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("the RabbitMQ node's %s alarm is not %v after %v", resource, on, evalTimeout)
}

// CloseConnections makes the node close every open connection, with reply code
// 320 and the text "closed by the test", and returns how many there were.
func (n *Node) CloseConnections() (int, error) {
	return n.CloseConnection("")
}

// CloseConnection is CloseConnections for the connections whose client named
// them (connection_name) with something that begins with prefix.
func (n *Node) CloseConnection(prefix string) (int, error) {
	expr := fmt.Sprintf(closeConnections, strconv.Quote(prefix))
	out, err := n.Eval(expr)
	if err != nil {
		return 0, err
	}
	count, err := strconv.Atoi(out)
	if err != nil {
		return 0, errors.New("close the RabbitMQ node's connections: unexpected answer " + out)
	}
	return count, nil
}

// closeConnections leaves out the connections that are closing already, and
// those that end while it looks at them.
const closeConnections = `
	OpenName = fun(P) ->
		case rabbit_reader:info(P, [state, client_properties]) of
			[{state, running}, {client_properties, Properties}] ->
				case lists:keyfind(<<"connection_name">>, 1, Properties) of
					{_, _, Given} -> binary_to_list(Given);
					false -> ""
				end;
			_ -> closing
		end
	end,
	length([closed || P <- rabbit_networking:connections(),
		true =:= (catch lists:prefix(%s, OpenName(P))),
		ok =:= (catch rabbit_networking:close_connection(P, "closed by the test"))])`
