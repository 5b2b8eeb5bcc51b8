package chaos

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/internal/testsecret"
	"github.com/warrenmq/warren/pkg/messaging"
)

// site is a cluster with a proxy in front of each node, and a load on one
// quorum queue by a client whose URL names all of them.
type site struct {
	*trial
	cluster *rabbitmqtest.Cluster
	proxies []*rabbitmqtest.Proxy
	queue   messaging.Address
	load    *load
}

// inCluster lets f happen to one node after the other. After each, the client
// must go on with what is left before the node comes back.
func inCluster(f func(*site) error) func(*trial) error {
	return func(t *trial) error {
		s := &site{trial: t}
		if err := s.start(); err != nil {
			return err
		}
		for range t.times {
			if err := s.load.progress(200); err != nil {
				return err
			}
			if err := f(s); err != nil {
				return err
			}
			if err := s.whole(); err != nil {
				return err
			}
		}
		return s.load.finish()
	}
}

func (s *site) start() error {
	var err error
	if s.cluster, err = s.rig.Cluster(s.ctx); err != nil {
		return err
	}
	var hosts []string
	for _, n := range s.cluster.Nodes {
		p, err := s.proxy(n.Addr())
		if err != nil {
			return err
		}
		s.proxies = append(s.proxies, p)
		hosts = append(hosts, p.Addr())
	}
	b, err := s.open("amqp://guest:"+testsecret.Password+"@"+strings.Join(hosts, ",")+"/", "heartbeat=2s&connect_timeout=3s")
	if err != nil {
		return err
	}
	if s.queue, err = s.declare(b); err != nil {
		return err
	}
	if err := errors.Join(s.sync(s.cluster.Nodes...), s.whole()); err != nil {
		return err
	}
	// Publishers that take all they can get would leave three nodes on one
	// machine no time to start.
	s.load = s.trial.load(b, b, s.queue, spec{publishers: 16, consumers: 4, pace: 40 * time.Millisecond})
	return nil
}

// whole waits until every node is a member and has the queue.
func (s *site) whole() error {
	if err := s.cluster.AwaitMembers(s.ctx); err != nil {
		return err
	}
	has := fmt.Sprintf(`erlang:whereis(list_to_atom("%%2F_" ++ %q)) =/= undefined`, s.queue.Name())
	return s.until(func() bool {
		for _, n := range s.cluster.Nodes {
			if yes, err := n.Eval(has); err != nil || yes != "true" {
				return false
			}
		}
		return true
	})
}

// leader is the node that leads the queue.
func (s *site) leader() (*rabbitmqtest.Node, error) {
	name, err := s.cluster.Nodes[0].Eval(fmt.Sprintf(
		`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<%q>>)), {_, Leader} = amqqueue:get_pid(Q), Leader`, s.queue.Name()))
	if err != nil {
		return nil, err
	}
	if n := s.cluster.Node(name); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("the queue's leader is %s, which is no node of the cluster", name)
}

// connected is a node that the client is connected to, and its proxy.
func (s *site) connected() (*rabbitmqtest.Node, *rabbitmqtest.Proxy, error) {
	for i, p := range s.proxies {
		if p.Connections() > 0 {
			return s.cluster.Nodes[i], p, nil
		}
	}
	return nil, nil, errors.New("the client is connected to no node")
}

// kill kills a node and starts it again once the client has gone on without it.
func (s *site) kill(n *rabbitmqtest.Node) error {
	n.Kill()
	err := s.load.resumed()
	return errors.Join(err, n.StartAgain(s.ctx))
}

func killLeader(s *site) error {
	n, err := s.leader()
	if err != nil {
		return err
	}
	return s.kill(n)
}

func killFollower(s *site) error {
	leader, err := s.leader()
	if err != nil {
		return err
	}
	for _, n := range s.cluster.Nodes {
		if n != leader {
			return s.kill(n)
		}
	}
	return errors.New("the cluster has one node only")
}

func killConnected(s *site) error {
	n, _, err := s.connected()
	if err != nil {
		return err
	}
	return s.kill(n)
}

func restartAll(s *site) error {
	for _, n := range s.cluster.Nodes {
		began := time.Now()
		if err := n.Stop(); err != nil {
			return err
		}
		if err := s.load.resumed(); err != nil {
			return err
		}
		if err := errors.Join(n.StartAgain(s.ctx), s.whole()); err != nil {
			return err
		}
		s.took("a node restarted within", time.Since(began))
	}
	return nil
}

// partition: the node lives on and the client cannot reach it.
func partition(s *site) error {
	_, p, err := s.connected()
	if err != nil {
		return err
	}
	p.Blackhole(rabbitmqtest.BothWays, true)
	defer p.Blackhole(rabbitmqtest.BothWays, false)
	return s.load.resumed()
}
