package measure

import (
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// Cost is what a number of messages took. The processor time of all cores
// together can be more than the time that went by.
type Cost struct {
	Took   time.Duration
	Client time.Duration // processor time of this process
	Broker time.Duration // processor time of the broker; 0 where it is not known
}

// Meter reads the time, and the processor time that was used so far.
type Meter struct {
	client *process.Process
	ended  time.Duration // of processes that were part of the client
	broker []*process.Process
}

// Ended counts what a process has used that was part of the client.
func (m *Meter) Ended(p *os.ProcessState) { m.ended += p.UserTime() + p.SystemTime() }

// NewMeter also watches the processes of the broker's nodes; pid 0 stands for
// none.
func NewMeter(nodes ...int) *Meter {
	m := &Meter{client: find(os.Getpid())}
	for _, pid := range nodes {
		m.broker = append(m.broker, find(pid))
	}
	return m
}

func find(pid int) *process.Process {
	p, err := process.NewProcess(int32(pid))
	if err != nil || pid == 0 {
		return nil
	}
	return p
}

// Reading is a moment, to take the difference to a later one.
type Reading struct {
	at             time.Time
	client, broker time.Duration
}

// Read is now.
func (m *Meter) Read() Reading {
	r := Reading{at: time.Now(), client: used(m.client) + m.ended}
	for _, node := range m.broker {
		r.broker += used(node)
	}
	return r
}

// Since is the cost from an earlier reading to this one.
func (r Reading) Since(earlier Reading) Cost {
	return Cost{
		Took:   r.at.Sub(earlier.at),
		Client: r.client - earlier.client,
		Broker: r.broker - earlier.broker,
	}
}

func used(p *process.Process) time.Duration {
	if p == nil {
		return 0
	}
	t, err := p.Times()
	if err != nil {
		return 0
	}
	return time.Duration((t.User + t.System) * float64(time.Second))
}
