package rabbitmqtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestProxyCarriesBytesBothWays(t *testing.T) {
	t.Parallel()
	_, conn := echoProxy(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	var writer sync.WaitGroup
	writer.Go(func() {
		if _, err := conn.Write(sent); err != nil {
			t.Error(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	got, err := io.ReadAll(conn) // ends because the half-close went through both ways
	writer.Wait()
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes (%v), want the %d that were sent", len(got), err, len(sent))
	}
}

func TestProxyURL(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, "127.0.0.1:1")
	got := p.URL("amqp://user:pass@broker:5672/vhost?heartbeat=1")
	if want := "amqp://user:pass@" + p.Addr() + "/vhost?heartbeat=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestProxyLatencyDelaysAndDoesNotThrottle(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	const latency = 50 * time.Millisecond
	p.SetLatency(latency)
	begin := time.Now()
	for range 20 {
		write(t, conn, "x")
		time.Sleep(time.Millisecond) // so that they are 20 reads of the proxy's
	}
	read(t, conn, "xxxxxxxxxxxxxxxxxxxx")
	took := time.Since(begin)
	if took < 2*latency {
		t.Errorf("the round trip took %v, want at least %v", took, 2*latency)
	}
	if took > 10*latency {
		t.Errorf("20 bytes took %v: each waited for the one before it", took)
	}
}

func TestProxyBlackholeHoldsBytesBackUntilItEnds(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]Direction{"to broker": ToBroker, "to client": ToClient, "both": BothWays} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, conn := echoProxy(t)
			echo(t, conn)
			p.Blackhole(d, true)
			write(t, conn, "held")
			wantSilence(t, conn)
			p.Blackhole(d, false)
			read(t, conn, "held")
		})
	}
}

func TestProxyBlackholeBlocksAWriter(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	p.Blackhole(ToBroker, true)
	if err := conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Write(make([]byte, 64<<20))
	if err == nil {
		t.Error("64 MiB went into a blackhole without blocking")
	}
}

func TestProxyCut(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	echo(t, conn)
	if n := p.Cut(); n != 1 {
		t.Errorf("cut %d connections, want 1", n)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
	echo(t, dialProxy(t, p))
}

func TestProxyCloseFIN(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	echo(t, conn)
	p.CloseFIN()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	echo(t, dialProxy(t, p))
}

func TestProxyRefuse(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	echo(t, conn) // so that the proxy has accepted it: what nobody accepted goes with the listener
	refuse(t, p, true)
	refuse(t, p, true)
	if c, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			c.Close()
		}
		t.Errorf("got %v, want connection refused", err)
	}
	echo(t, conn)
	refuse(t, p, false)
	refuse(t, p, false)
	echo(t, dialProxy(t, p))
}

func TestProxyCutAfter(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	p.CutAfter(7, ToClient)
	write(t, conn, "0123456789")
	got, err := io.ReadAll(conn)
	if string(got) != "0123456" || err != nil {
		t.Errorf("got %q and %v, want the first seven bytes and the end", got, err)
	}
	if to, from, cuts := p.Passed(ToBroker), p.Passed(ToClient), p.Cuts(); to != 10 || from != 7 || cuts != 1 {
		t.Errorf("%d bytes passed to the broker and %d to the client, with %d cuts; want 10, 7 and 1", to, from, cuts)
	}
	echo(t, dialProxy(t, p)) // it happens once
}

func TestProxyCutAfterToBroker(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	echo(t, conn)
	p.CutAfter(1, ToBroker)
	write(t, conn, "xy")
	if _, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestProxyCutAfterCalledOff(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	p.CutAfter(0, BothWays)
	p.CutAfter(-1, BothWays)
	echo(t, conn)
}

func TestProxyToNobodyResets(t *testing.T) {
	t.Parallel()
	l, err := listenFree()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	conn, err := net.Dial("tcp", NewProxy(t, l.Addr().String()).Addr())
	if err == nil { // the reset can come as early as that
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestProxyCloseInTheMiddle(t *testing.T) {
	t.Parallel()
	p, conn := echoProxy(t)
	p.SetLatency(time.Hour)
	write(t, conn, "on its way")
	p.Blackhole(BothWays, true)
	p.Close()
	p.Close()
	if err := p.Refuse(false); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		c.Close()
		t.Error("a closed proxy accepts connections")
	}
}

func TestProxyUnderEverythingAtOnce(t *testing.T) {
	t.Parallel()
	p, _ := echoProxy(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if conn, err := net.Dial("tcp", p.Addr()); err == nil {
					_, _ = conn.Write([]byte("x"))
					conn.Close()
				}
			}
		})
	}
	for range 50 {
		p.Blackhole(BothWays, true)
		p.Cut()
		_ = p.Refuse(true)
		p.CutAfter(1, BothWays)
		p.SetLatency(time.Microsecond)
		p.CloseFIN()
		_ = p.Refuse(false)
		p.Blackhole(BothWays, false)
	}
	all.Wait()
}

// echoProxy returns a proxy to a server that echoes, and a connection through it.
func echoProxy(t *testing.T) (*Proxy, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	p := NewProxy(t, l.Addr().String())
	return p, dialProxy(t, p)
}

func dialProxy(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func refuse(t *testing.T, p *Proxy, on bool) {
	t.Helper()
	if err := p.Refuse(on); err != nil {
		t.Fatal(err)
	}
}

func echo(t *testing.T, conn net.Conn) {
	t.Helper()
	write(t, conn, "hello")
	read(t, conn, "hello")
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("read %q (%v), want %q", got, err, want)
	}
}

// wantSilence gives bytes that must not come a tenth of a second to come.
func wantSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _ := conn.Read(make([]byte, 1)); n != 0 {
		t.Error("a byte came through a blackhole")
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
}
